"""Authorize: may this subject spend this much on this product now?"""

from __future__ import annotations

import asyncio

from msgspec import Struct, structs

from gateway.core import ids, plan
from gateway.core.decision import (
    Decision,
    affordable_micros,
    conclude,
    token_room,
)
from gateway.core.entities import Lineage
from gateway.core.money import check_range
from gateway.core.orders import Idempotency, Mode, Outcome, Reply, Status
from gateway.core.partial import units_that_fit
from gateway.core.record import Asked
from gateway.core.terms import Terms
from gateway.errors import CallerError, Unavailable
from gateway.flows.context import masked
from gateway.flows.gateway import (
    STALE_PATIENCE_S,
    Caller,
    Gateway,
    exactly_one,
    kept_or,
    reused,
)
from gateway.wire import answers, records
from gateway.wire.messages import AuthorizeBody, Partial

DEFAULT_HOLD_TTL_S = 300
PARTIAL_PROBES = 2
"""After so many asks for room the last one decides."""


class Authorized(Struct, frozen=True):
    """An answer, and whether it was given before. `shared_signals` are those of the ip."""

    answer: answers.AuthorizeAnswer
    is_replay: bool = False
    shared_signals: tuple[int, ...] = ()


async def authorize(gateway: Gateway, body: AuthorizeBody, caller: Caller) -> Authorized:
    """Decide one request. Raises CallerError; a store that is out of reach is a denial."""
    caller.check_org(body.subject.org)
    request = _request(gateway, body, caller)
    kept_s = gateway.settings.authorize_kept_s
    idempotency = None
    if request.mode is not Mode.DRY:
        idempotency = caller.idempotency(body.subject.org, body, kept_s)
    id_body = gateway.new_id_body(body.subject.org)
    try:
        decision, replay, shared = await _decide(
            gateway, request, body.partial, id_body, idempotency
        )
    except Unavailable as error:
        quote = answers.QuoteAnswer(
            amount_micros=request.amount or 0, currency="", rate_card=None, lines=[]
        )
        gateway.hooks.on_unavailable(error.code)
        return Authorized(answers.unavailable_answer(ids.DECISION + id_body, quote, error.detail))
    if not replay:
        gateway.hooks.on_decision(decision)
    return Authorized(answers.authorize_answer(decision), replay, shared)


def _request(gateway: Gateway, body: AuthorizeBody, caller: Caller) -> plan.Request:
    exactly_one(body.quantity, body.amount_micros, "quantity and amount_micros")
    if body.amount_micros is not None:
        check_range(body.amount_micros, "the amount", "/amount_micros")
    subject = body.subject
    lineage = Lineage(
        subject.org, subject.project or "", subject.user or "", subject.key or "", body.run or ""
    )
    mode = Mode.HOLD
    if body.dry_run:
        mode = Mode.DRY
    elif body.capture:
        mode = Mode.CAPTURE
    if body.partial is not None:
        _check_partial(body)
    return plan.Request(
        lineage,
        body.product,
        body.quantity,
        body.amount_micros,
        mode,
        1000 * (body.hold_ttl_s or DEFAULT_HOLD_TTL_S),
        masked(body.context, gateway.secret),
        caller.credential.id,
        settles=bool(body.capture),
    )


def _check_partial(body: AuthorizeBody) -> None:
    partial = body.partial
    if partial is None:
        return
    if body.quantity is None or partial.unit not in body.quantity:
        raise CallerError(
            "invalid_request", "partial.unit must be a unit of quantity", pointer="/partial/unit"
        )
    if partial.at_least > body.quantity[partial.unit]:
        raise CallerError(
            "invalid_request",
            "partial.at_least is more than what is asked for",
            pointer="/partial/at_least",
        )


async def _decide(
    gateway: Gateway,
    request: plan.Request,
    partial: Partial | None,
    id_body: str,
    idempotency: Idempotency | None,
) -> tuple[Decision, bool, tuple[int, ...]]:
    """Plan and ask the store until it decides: again when stale, smaller when partial."""
    shared: asyncio.Task[tuple[int, ...]] | None = None
    probes = PARTIAL_PROBES if partial is not None else 0
    asked_for, started = request, asyncio.get_running_loop().time()
    is_verified = False
    while True:
        try:
            terms = await gateway.profiles.terms(
                request.lineage, request.product, gateway.clock.now_ms()
            )
            amount = plan.quote(terms, request)
        except CallerError as error:
            if is_verified:
                org = request.lineage.org
                reply = await kept_or(gateway, org, idempotency, Outcome, error)
                return concluded(None, reply), True, ()
            # What this worker believes may be old; before it refuses, it looks.
            await gateway.profiles.load(request.lineage.org)
            is_verified = True
            continue
        if shared is None and "ip" in request.context and request.mode is not Mode.DRY:
            # In its own shard, in the same flush: it costs no round trip.
            shared = asyncio.create_task(_count_shared(gateway, request, amount))
        is_partial = partial is not None
        asked = plan.make(
            terms, request, ids.DECISION + id_body, ids.HOLD + id_body, amount, is_partial
        )
        reply = await _ask(gateway, terms, request, asked, probes > 0, idempotency)
        if reply.status is Status.STALE:
            await when_stale(gateway, request.lineage.org, reply, started)
            request = asked_for
        elif reply.status is Status.ROOM and partial is not None:
            probes -= 1
            smaller = _smaller(terms, asked, reply.outcome, partial)
            if smaller is None:
                request, probes = asked_for, 0
            else:
                request = structs.replace(request, quantity=smaller)
        else:
            decision = concluded(asked, reply)
            seen = await shared if shared is not None else ()
            return decision, reply.status is Status.REPLAY, seen


async def _count_shared(gateway: Gateway, request: plan.Request, amount: int) -> tuple[int, ...]:
    try:
        return tuple(await gateway.store.count_shared("ip", str(request.context["ip"]), amount))
    except Unavailable:
        # Signals serve the risk assessment; without them the money is still decided.
        return ()


async def _ask(
    gateway: Gateway,
    terms: Terms,
    request: plan.Request,
    asked: Asked,
    probe: bool,
    idempotency: Idempotency | None,
) -> Reply:
    order = plan.assemble(
        terms,
        asked,
        request,
        records.encode_asked(asked, terms),
        gateway.clock.now_ms() + gateway.settings.store_deadline_ms,
        probe=probe,
        idempotency=idempotency,
    )
    return await gateway.store.authorize(order)


async def when_stale(gateway: Gateway, org: str, reply: Reply, started: float) -> None:
    """Reload what a plan was made from; raises Unavailable when that does not settle."""
    gateway.hooks.on_stale()
    gateway.clock.learn(reply.now_ms)
    if asyncio.get_running_loop().time() - started > STALE_PATIENCE_S:
        raise Unavailable("store_unavailable", "versions keep changing; try again")
    await gateway.profiles.refresh(org, reply.versions)


def _smaller(
    terms: Terms, asked: Asked, outcome: Outcome | None, partial: Partial
) -> dict[str, int] | None:
    if terms.price is None or asked.quantity is None or outcome is None:
        return None
    units = units_that_fit(
        terms.price,
        asked.quantity,
        partial.unit,
        partial.at_least,
        affordable_micros(asked, outcome),
        token_room(asked, outcome),
    )
    if units is None or units == asked.quantity[partial.unit]:
        return None
    return {**asked.quantity, partial.unit: units}


def concluded(asked: Asked | None, reply: Reply) -> Decision:
    """The decision a reply carries; of what was asked the first time when it is a replay."""
    if reply.status is Status.REUSED:
        raise reused()
    if reply.status is Status.CLOSED:
        raise Unavailable("store_unavailable", "the shard is closed until it is rebuilt")
    if reply.status is Status.REPLAY:
        asked = records.decode_asked(reply.body)
    assert asked is not None and reply.outcome is not None
    return conclude(asked, reply.outcome)
