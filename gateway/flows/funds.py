"""Grants, voids and adjustments: how money reaches an org outside requests."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from gateway.core import ids
from gateway.core.caps import HELD
from gateway.core.counters import Source
from gateway.core.entities import Grant, Profile
from gateway.core.funding import ADJUSTMENTS, grant_name, is_included, waterfall
from gateway.core.money import check_range
from gateway.core.orders import AdjustOrder, GrantOrder, Moved, Reply, Status, VoidOrder
from gateway.core.record import AdminNote, Undo
from gateway.core.terms import versions_of
from gateway.errors import CallerError, Unavailable
from gateway.flows.authorize import when_stale
from gateway.flows.gateway import Caller, Gateway, kept_or, reused
from gateway.wire import answers, records
from gateway.wire.decode import milliseconds
from gateway.wire.messages import AdjustmentBody, EmptyBody, GrantBody

DEFAULT_PRIORITY = 10


@dataclass(frozen=True)
class Moves:
    """An answer, and whether it was given before."""

    answer: answers.GrantAnswer | answers.VoidAnswer | answers.AdjustmentAnswer
    is_replay: bool


async def known_org(gateway: Gateway, org: str, caller: Caller) -> Profile:
    """The profile of an org that was created, as it is now. Raises 404 otherwise."""
    caller.check_org(org)
    if await gateway.catalog.org(org) is None:
        raise CallerError("not_found", f"there is no org {org}", status=404)
    return await gateway.profiles.load(org)


async def grant(gateway: Gateway, org: str, body: GrantBody, caller: Caller) -> Moves:
    """Give an org credit. A paid grant first settles an open shortfall."""
    profile = await known_org(gateway, org, caller)
    idempotency = caller.idempotency(org, body, gateway.settings.admin_kept_s)
    try:
        given = await _grant(gateway, profile, body)
    except CallerError as error:
        reply = await kept_or(gateway, org, idempotency, Moved, error)
    else:
        note = records.encode(AdminNote("", caller.credential.id, given))
        meta = records.encode(given)
        order = GrantOrder(org, profile.org.currency, given, meta, note, idempotency)
        reply = await gateway.store.grant(order)
    return Moves(answers.grant_answer(moved_of(reply)), reply.status is Status.REPLAY)


async def _grant(gateway: Gateway, profile: Profile, body: GrantBody) -> Grant:
    check_range(body.amount_micros, "the grant", "/amount_micros")
    effective_ms, expires_ms = milliseconds(body.effective_at), milliseconds(body.expires_at)
    now_ms = gateway.clock.now_ms()
    if expires_ms is not None and expires_ms <= max(now_ms, effective_ms or 0):
        raise CallerError(
            "invalid_request", "the grant would expire before it starts", pointer="/expires_at"
        )
    funds = await funds_of(gateway, profile) + profile.org.credit_line_micros
    check_range(funds + body.amount_micros, "the balance after the grant", "/amount_micros")
    return Grant(
        ids.GRANT + gateway.new_id_body(profile.org.id),
        body.kind,
        body.amount_micros,
        DEFAULT_PRIORITY if body.priority is None else body.priority,
        now_ms,
        effective_ms,
        expires_ms,
        tuple(body.products) if body.products else None,
    )


async def funds_of(gateway: Gateway, profile: Profile) -> int:
    """All that may come together on an org's balances: what is there, and what is on hold."""
    grants = tuple(grant_name(g.id) for g in profile.grants)
    names = (*grants, ADJUSTMENTS, HELD)
    snapshot = await gateway.store.snapshot(profile.org.id, names)
    return sum(snapshot.balances)


def moved_of(reply: Reply) -> Moved:
    """What a call did that moves funds or tells an event. Raises CallerError or Unavailable."""
    if reply.status is Status.REUSED:
        raise reused()
    if reply.status is Status.CLOSED:
        raise Unavailable("store_unavailable", "the shard is closed until it is rebuilt")
    if reply.status is Status.RANGE:
        raise CallerError("amount_out_of_range", "the balance would leave ±(2^53 - 1) micro-units")
    assert reply.moved is not None
    return reply.moved


async def void(gateway: Gateway, org: str, grant_id: str, body: EmptyBody, caller: Caller) -> Moves:
    """End a grant: its unspent rest is gone, and what is on hold of it ends with it."""
    profile = await known_org(gateway, org, caller)
    order = VoidOrder(
        org,
        profile.org.currency,
        grant_id,
        records.encode(AdminNote("", caller.credential.id)),
        caller.idempotency(org, body, gateway.settings.admin_kept_s),
    )
    reply = await gateway.store.void(order)
    if reply.status is Status.MISSING:
        detail = f"there is no grant {grant_id} that has not ended"
        raise CallerError("not_found", detail, status=404)
    return Moves(answers.void_answer(moved_of(reply)), reply.status is Status.REPLAY)


async def adjust(
    gateway: Gateway, org: str, body: AdjustmentBody, caller: Caller, undo: Undo | None = None
) -> Moves:
    """Correct an org's funds by an amount, or to an amount, computed in the store.

    `undo` says which decision it takes back, where it does.
    """
    if (body.amount_micros is None) == (body.set_available_micros is None):
        raise CallerError(
            "invalid_request", "give exactly one of amount_micros and set_available_micros"
        )
    check_range(body.amount_micros or 0, "the adjustment", "/amount_micros")
    check_range(body.set_available_micros or 0, "the balance", "/set_available_micros")
    profile = await known_org(gateway, org, caller)
    started = asyncio.get_running_loop().time()
    while True:
        sources, from_ms, until_ms = waterfall(profile, None, gateway.clock.now_ms())
        order = AdjustOrder(
            org,
            profile.org.currency,
            _money_first(sources),
            versions_of(profile),
            from_ms,
            until_ms,
            records.encode(AdminNote(body.note, caller.credential.id, undo=undo)),
            body.kind,
            body.amount_micros or 0,
            body.set_available_micros,
            caller.idempotency(org, body, gateway.settings.admin_kept_s),
        )
        reply = await gateway.store.adjust(order)
        if reply.status is not Status.STALE:
            moved = moved_of(reply)
            return Moves(answers.adjustment_answer(moved), reply.status is Status.REPLAY)
        await when_stale(gateway, org, reply, started)
        profile = await gateway.profiles.profile(org)


def _money_first(sources: tuple[Source, ...]) -> tuple[Source, ...]:
    # A correction takes money before it takes quota that comes back by itself.
    return tuple(sorted(sources, key=lambda s: is_included(s.name)))
