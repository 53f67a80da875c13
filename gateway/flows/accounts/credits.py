"""Move funds outside requests: grants, voids and adjustments."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Generic, TypeVar

from msgspec import structs

from gateway.core import ids
from gateway.core.caps import HELD
from gateway.core.commands import AdjustOrder, GrantOrder, Moved, Reply, Status, VoidOrder
from gateway.core.counters import Source
from gateway.core.entities import ForLevel, Grant, Profile
from gateway.core.funding import grant_name, waterfall
from gateway.core.money import check_range
from gateway.core.request_record import AdminNote, Reversal
from gateway.core.sources import ADJUSTMENTS, is_quota
from gateway.core.terms import versions_of
from gateway.errors import CallerError, Unavailable
from gateway.flows.accounts.reads import org_terms
from gateway.flows.accounts.services import AccountServices
from gateway.flows.shared.audited import audited
from gateway.flows.shared.caller import Caller
from gateway.flows.shared.replies import kept_or, moved_of, when_stale
from gateway.flows.shared.user_ids import known_as
from gateway.wire import records
from gateway.wire.answers.accounts import grant_shown
from gateway.wire.answers.audit import AdjustmentShown
from gateway.wire.answers.base import Answer
from gateway.wire.answers.spend import (
    AdjustmentAnswer,
    GrantAnswer,
    VoidAnswer,
    adjustment_answer,
    grant_answer,
    void_answer,
)
from gateway.wire.decode import milliseconds
from gateway.wire.requests.accounts import AdjustmentBody, GrantBody
from gateway.wire.requests.spend import EmptyBody

DEFAULT_PRIORITY = 10
log = logging.getLogger("spendgate.accounts")
FOR_LEVELS: tuple[ForLevel, ...] = ("project", "user", "key")


A = TypeVar("A", GrantAnswer, VoidAnswer, AdjustmentAnswer)


@dataclass(frozen=True)
class Moves(Generic[A]):
    """An answer, and whether it was given before."""

    answer: A
    is_replay: bool


async def known_org(services: AccountServices, org: str, caller: Caller) -> Profile:
    """The profile of an org that was created, as it is now, for a movement of its funds.

    Raises 404 where there is none, 403 for a credential bound to an org: no org gives money to
    itself.
    """
    caller.check_org(org)
    caller.check_unbound("move its own org's funds")
    await org_terms(services, org, caller)
    return await services.profiles.load(org)


async def grant(
    services: AccountServices, org: str, body: GrantBody, caller: Caller
) -> Moves[GrantAnswer]:
    """Give an org credit. A paid grant first settles an open shortfall."""
    profile = await known_org(services, org, caller)
    idempotency = caller.idempotency(org, body, services.settings.admin_kept_s)
    given: Grant | None = None
    try:
        given = await _grant(services, profile, body)
    except CallerError as error:
        reply = await kept_or(services, org, idempotency, Moved, error)
    else:
        note = records.encode(AdminNote("", caller.credential.id, given))
        meta = records.encode(given)
        order = GrantOrder(org, profile.org.currency, given, meta, note, idempotency)
        reply = await services.store.grant(order)
    moved = moved_of(reply)
    shown = grant_shown(given_of(reply, given), moved.available, "active")
    return await _done(services, caller, ("grant", "create", shown), grant_answer(moved), reply)


def given_of(reply: Reply, given: Grant | None) -> Grant:
    """The grant of a reply: this call's own, or the one of the call that it repeats."""
    if reply.status is not Status.REPLAY and given is not None:
        return given
    note = records.decode_note(reply.body)
    assert note.grant is not None
    return note.grant


async def _done(
    services: AccountServices,
    caller: Caller,
    what: tuple[str, str, Answer],
    answer: A,
    reply: Reply,
) -> Moves[A]:
    """Add a movement of money to the audit log, and return its answer.

    `what` is the kind of object, the action, and what the log shows of it. The store has moved the
    money already, and the ledger books it with the credential. So a catalog that does not answer
    now costs the entry, not the answer; a repeated call adds the entry of a grant or void.
    """
    moved, is_replay = moved_of(reply), reply.status is Status.REPLAY
    kind, action, shown = what
    if moved.id or not is_replay:
        # An adjustment has no id of its own: its place in the books is known when it is made.
        name = moved.id or _place_of(reply)
        once = f"{kind} {action} {moved.org} {name}"
        entry = audited(services, caller, kind, name, (None, shown), moved.org, once)
        try:
            await services.audit.add(structs.replace(entry, action=action))
        except Unavailable:
            log.exception("%s of %s by %s is not in the audit log", once, moved.org, entry.actor)
    return Moves(answer, is_replay)


def _place_of(reply: Reply) -> str:
    assert reply.position is not None, "a movement that was just made has a record"
    epoch, seq = reply.position
    return f"{epoch}-{seq}"


async def _grant(services: AccountServices, profile: Profile, body: GrantBody) -> Grant:
    check_range(body.amount_micros, "the grant", "/amount_micros")
    effective_ms, expires_ms = milliseconds(body.effective_at), milliseconds(body.expires_at)
    now_ms = services.clock.now_ms()
    if expires_ms is not None and expires_ms <= max(now_ms, effective_ms or 0):
        raise CallerError(
            "invalid_request", "the grant would expire before it starts", pointer="/expires_at"
        )
    level, target = _for_whom(services, body)
    funds = await funds_of(services, profile) + profile.org.credit_line_micros
    check_range(funds + body.amount_micros, "the balance after the grant", "/amount_micros")
    return Grant(
        ids.GRANT + services.new_id_body(profile.org.id),
        body.kind,
        body.amount_micros,
        DEFAULT_PRIORITY if body.priority is None else body.priority,
        now_ms,
        effective_ms,
        expires_ms,
        tuple(body.products) if body.products else None,
        body.metadata or {},
        level,
        target,
    )


def _for_whom(services: AccountServices, body: GrantBody) -> tuple[ForLevel, str]:
    """The level and id of whom a grant pays for; twice "" for the org's pool."""
    if body.for_ is None:
        return "", ""
    named = [(name, of) for name in FOR_LEVELS if (of := getattr(body.for_, name))]
    if len(named) != 1:
        detail = "a grant is for one project, user or key"
        raise CallerError("invalid_request", detail, pointer="/for")
    ((level, target),) = named
    return level, known_as(services, target) if level == "user" else target


async def funds_of(services: AccountServices, profile: Profile) -> int:
    """All that may come together on an org's balances: what is there, and what is on hold."""
    grants = tuple(grant_name(g.id) for g in profile.grants)
    names = (*grants, ADJUSTMENTS, HELD)
    snapshot = await services.store.snapshot(profile.org.id, names)
    return sum(snapshot.balances)


async def void(
    services: AccountServices, org: str, grant_id: str, body: EmptyBody, caller: Caller
) -> Moves[VoidAnswer]:
    """End a grant: its unspent rest is gone, and what is on hold of it ends with it."""
    profile = await known_org(services, org, caller)
    order = VoidOrder(
        org,
        profile.org.currency,
        grant_id,
        records.encode(AdminNote("", caller.credential.id)),
        caller.idempotency(org, body, services.settings.admin_kept_s),
    )
    reply = await services.store.void(order)
    if reply.status is Status.MISSING:
        detail = f"there is no grant {grant_id} that has not ended"
        raise CallerError("not_found", detail)
    answer = void_answer(moved_of(reply))
    return await _done(services, caller, ("grant", "void", answer), answer, reply)


async def adjust(
    services: AccountServices,
    org: str,
    body: AdjustmentBody,
    caller: Caller,
    undo: Reversal | None = None,
) -> Moves[AdjustmentAnswer]:
    """Correct an org's funds by an amount, or to an amount, computed in the store.

    `undo` names the decision that the adjustment reverses.
    """
    if (body.amount_micros is None) == (body.set_available_micros is None):
        raise CallerError(
            "invalid_request", "give exactly one of amount_micros and set_available_micros"
        )
    check_range(body.amount_micros or 0, "the adjustment", "/amount_micros")
    check_range(body.set_available_micros or 0, "the balance", "/set_available_micros")
    profile = await known_org(services, org, caller)
    started = asyncio.get_running_loop().time()
    while True:
        now_ms = services.clock.now_ms()
        sources, from_ms, until_ms = waterfall(profile, None, now_ms)
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
            caller.idempotency(org, body, services.settings.admin_kept_s),
        )
        reply = await services.store.adjust(order)
        if reply.status is not Status.STALE:
            answer = adjustment_answer(moved_of(reply))
            shown = AdjustmentShown(note=body.note, **structs.asdict(answer))
            what = ("adjustment", "create", shown)
            return await _done(services, caller, what, answer, reply)
        await when_stale(services, org, reply, started)
        profile = await services.profiles.profile(org)


def _money_first(sources: tuple[Source, ...]) -> tuple[Source, ...]:
    # A correction takes money before it takes quota that comes back by itself.
    return tuple(sorted(sources, key=lambda s: is_quota(s.name)))
