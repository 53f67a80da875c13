"""Capture, release and extend holds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Generic, TypeVar

from msgspec import Raw

from gateway.core import ids, plan
from gateway.core.commands import Ended, Finish, Idempotency, Mode, Outcome, Plan, Reply, Status
from gateway.core.holds import Hold, HoldStatus, Step, status_at
from gateway.core.limits import finals_of
from gateway.core.money import check_range
from gateway.core.pricing import cost_micros
from gateway.core.request_record import EndNote, RequestRecord
from gateway.core.terms import Terms, terms_of_hold
from gateway.errors import CallerError, Overloaded, Unavailable
from gateway.flows.shared.caller import Caller
from gateway.flows.shared.replies import exactly_one, kept_or, reused, when_stale
from gateway.flows.spend.authorize import answer_of, overloaded
from gateway.flows.spend.hold_terms import current_terms, with_funds
from gateway.flows.spend.services import SpendServices
from gateway.wire import records
from gateway.wire.answers.base import rfc3339
from gateway.wire.answers.spend import (
    AuthorizeAnswer,
    EndAnswer,
    HoldAnswer,
    end_answer,
    hold_answer,
)
from gateway.wire.requests.spend import CaptureBody, EmptyBody, ExtendBody

A = TypeVar("A", EndAnswer, AuthorizeAnswer)


@dataclass(frozen=True)
class Finished(Generic[A]):
    """An answer, or its bytes, and whether it was given before."""

    answer: A | Raw
    is_replay: bool = False


async def find(services: SpendServices, hold_id: str, caller: Caller) -> tuple[Hold, RequestRecord]:
    """A hold the caller may see, from the store or, long after its end, from the ledger."""
    found = await services.store.hold(hold_id)
    if found is not None:
        hold, asked = found[0], records.decode_asked(found[1])
    else:
        kept = await services.ledger.hold(hold_id)
        id_body, is_ours = hold_id.removeprefix(ids.HOLD), ids.shard_in(hold_id) is not None
        if kept is None and is_ours and services.outage.journal.knows(id_body):
            detail = "the hold was given while the store was out and is not there yet; try again"
            raise Unavailable("store_unavailable", detail)
        if kept is None:
            raise _no_hold(hold_id)
        hold, asked = kept
    if caller.credential.org and caller.credential.org != hold.org:
        raise _no_hold(hold_id)
    return hold, asked


def _no_hold(hold_id: str) -> CallerError:
    return CallerError("not_found", f"there is no hold {hold_id}")


async def get(services: SpendServices, hold_id: str, caller: Caller) -> HoldAnswer:
    """Find a hold with its current status."""
    hold, asked = await find(services, hold_id, caller)
    return hold_answer(hold_id, hold, asked, services.clock.now_ms())


async def capture(
    services: SpendServices, hold_id: str, body: CaptureBody, caller: Caller
) -> Finished[EndAnswer]:
    """Settle a hold at what was really used: nothing, less, or more than was held."""
    exactly_one(body.quantity, body.amount_micros, "quantity and amount_micros")
    started = asyncio.get_running_loop().time()
    while True:
        hold, asked = await find(services, hold_id, caller)
        cost = _cost(asked, body)
        needs_funds = hold.state is not HoldStatus.held or cost > hold.amount
        idempotency = caller.idempotency(hold.org, body, services.settings.authorize_kept_s)
        order = Finish(
            hold.org,
            hold_id,
            Step.capture,
            cost,
            finals_of([entry.counted_as for entry in hold.counted], body.quantity),
            body=records.encode(EndNote(body.quantity, cost, caller.credential.id)),
            idempotency=idempotency,
        )
        if needs_funds:
            order = await with_funds(services, order, asked)
        reply = await services.store.finish(order)
        if reply.status is Status.RANGE:
            raise CallerError(
                "amount_out_of_range",
                "the org's shortfall would leave ±(2^53 - 1) micro-units",
                pointer="/amount_micros" if body.quantity is None else "/quantity",
            )
        if reply.status is not Status.STALE:
            return _finished(services, hold_id, reply)
        await when_stale(services, hold.org, reply, started)


def _cost(asked: RequestRecord, body: CaptureBody) -> int:
    if body.quantity is None:
        return check_range(body.amount_micros or 0, "the amount", "/amount_micros")
    if asked.terms.price is None:
        raise CallerError(
            "invalid_request",
            f"no price is known for {asked.terms.product}: capture an amount_micros",
            pointer="/quantity",
        )
    return cost_micros(asked.terms.price, body.quantity)


async def release(
    services: SpendServices, hold_id: str, body: EmptyBody, caller: Caller
) -> Finished[EndAnswer]:
    """Give a hold back whole."""
    hold, _ = await find(services, hold_id, caller)
    order = Finish(
        hold.org,
        hold_id,
        Step.release,
        body=records.encode(EndNote(None, 0, caller.credential.id)),
        idempotency=caller.idempotency(hold.org, body, services.settings.authorize_kept_s),
    )
    return _finished(services, hold_id, await services.store.finish(order))


def _finished(services: SpendServices, hold_id: str, reply: Reply) -> Finished[EndAnswer]:
    ended = _ended(hold_id, reply)
    if reply.status is Status.DONE:
        services.hooks.on_end(ended)
    return Finished(end_answer(ended), reply.status is Status.REPLAY)


def _ended(hold_id: str, reply: Reply) -> Ended:
    check_reply(hold_id, reply)
    assert reply.ended is not None
    return reply.ended


def check_reply(hold_id: str, reply: Reply) -> None:
    """Raise the error a reply about a hold implies: reused key, ended, not found, unavailable."""
    if reply.status is Status.REUSED:
        raise reused()
    if reply.status is Status.ENDED and reply.hold is not None:
        raise _already_ended(hold_id, reply.hold, reply.now_ms)
    if reply.status is Status.MISSING:
        # It was there a moment ago: its time in the store ended between two calls.
        raise CallerError("hold_already_ended", f"{hold_id} has ended")
    if reply.status is Status.CLOSED:
        raise Unavailable("store_unavailable", "the shard is closed until it is rebuilt")


def _already_ended(hold_id: str, hold: Hold, now_ms: int) -> CallerError:
    status = status_at(hold.state, hold.expires_ms, now_ms)
    at = rfc3339(hold.ended_ms or hold.expires_ms)
    return CallerError("hold_already_ended", f"{hold_id} was {status.name} at {at}")


async def extend(
    services: SpendServices, hold_id: str, body: ExtendBody, caller: Caller
) -> Finished[AuthorizeAnswer]:
    """Add to a hold, in the cap windows it was made in; on deny it stays as it was."""
    exactly_one(body.quantity, body.amount_micros, "quantity and amount_micros")
    if body.amount_micros is not None:
        check_range(body.amount_micros, "the amount", "/amount_micros")
    started = asyncio.get_running_loop().time()
    id_body = None
    while True:
        hold, asked = await find(services, hold_id, caller)
        id_body = id_body or services.new_id_body(hold.org)
        idempotency = caller.idempotency(hold.org, body, services.settings.authorize_kept_s)
        addition = None
        try:
            plan_made, addition = await _extension(
                services, (hold_id, hold, asked), body, caller, ids.DECISION + id_body, idempotency
            )
            reply = await services.store.authorize(plan_made)
        except CallerError as error:
            reply = await kept_or(services, hold.org, idempotency, Outcome, error)
        except Overloaded as error:
            name, amount = ids.DECISION + id_body, body.amount_micros or 0
            return Finished(overloaded(services, name, amount, error))
        if reply.status is Status.STALE:
            await when_stale(services, hold.org, reply, started)
            continue
        check_reply(hold_id, reply)
        answer = answer_of(services, addition, reply, None)
        return Finished(answer, reply.status is Status.REPLAY)


async def _extension(
    services: SpendServices,
    standing: tuple[str, Hold, RequestRecord],
    body: ExtendBody,
    caller: Caller,
    decision_id: str,
    idempotency: Idempotency | None,
) -> tuple[Plan, RequestRecord]:
    hold_id, hold, asked = standing
    terms = await _terms_of_hold(services, hold, asked)
    request = plan.Request(
        asked.lineage,
        asked.terms.product,
        body.quantity,
        body.amount_micros,
        Mode.HOLD,
        1000 * (body.hold_ttl_s or 0),
        asked.context,
        caller.credential.id,
        extends=True,
        tags=asked.tags,
    )
    amount = plan.quote(terms, request)
    pointer = "/quantity" if body.amount_micros is None else "/amount_micros"
    check_range(hold.amount + amount, "the hold", pointer)
    addition = plan.make(terms, request, decision_id, hold_id, amount)
    met = services.rules.policies.tallying.in_play(addition, services.clock.now_ms())
    order = plan.assemble(
        terms,
        addition,
        request,
        records.encode_asked(addition, terms),
        services.clock.now_ms() + services.settings.store_deadline_ms,
        idempotency=idempotency,
        met=met,
    )
    return order, addition


async def _terms_of_hold(services: SpendServices, hold: Hold, asked: RequestRecord) -> Terms:
    lineage = asked.lineage
    terms = await current_terms(services, asked)
    if terms.needs.book != asked.terms.book:
        raise CallerError(
            "account_changed",
            "the org got an account after this hold was made: capture it and authorize anew",
        )
    profile, lineage_terms = await services.profiles.lineage(lineage)
    price, created_ms = asked.terms.price, hold.created_ms
    return records.seal(terms_of_hold(terms, profile, lineage_terms, price, created_ms))
