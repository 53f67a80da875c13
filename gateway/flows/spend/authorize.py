"""Authorize: may this subject spend this much on this product now?"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from msgspec import Raw, Struct, structs

from gateway.core import ids, names, plan
from gateway.core.commands import Idempotency, Mode, Outcome, PlanTemplate, Reply, Status
from gateway.core.decision import affordable_micros, conclude, unit_rooms
from gateway.core.entities import Lineage
from gateway.core.money import check_range
from gateway.core.partial_approval import units_that_fit
from gateway.core.reasons import Reason
from gateway.core.request_record import RecordedTerms, RequestRecord
from gateway.core.terms import Terms
from gateway.errors import CallerError, Overloaded, Unavailable
from gateway.flows.shared.caller import Caller
from gateway.flows.shared.pseudonyms import masked
from gateway.flows.shared.replies import exactly_one, kept_or, reused, when_stale
from gateway.flows.shared.user_ids import known_as
from gateway.flows.spend import enforcement
from gateway.flows.spend.services import SpendServices
from gateway.flows.spend.stand_in import allow
from gateway.store.port import TOLD
from gateway.wire import records
from gateway.wire.answers.allow_fast import AllowedAnswers
from gateway.wire.answers.spend import AuthorizeAnswer, authorize_answer, refused_answer
from gateway.wire.requests.spend import AuthorizeBody, BatchBody, Partial

DEFAULT_HOLD_TTL_S = 300
UNACKNOWLEDGED_MS = 120_000
"""Age in ms from which a replay skips the claim: unacknowledged ones are reversed in seconds."""
STRANGERS_UNTIL = 0.9
"""Share of its memory from which the store admits no free users that it does not know."""
STRANGER_RETRY_S = 60
PARTIAL_PROBES = 2
"""After so many asks for room the last one decides."""


class Authorized(Struct, frozen=True):
    """An answer, and whether it was given before."""

    answer: AuthorizeAnswer | Raw
    is_replay: bool = False


async def authorize(services: SpendServices, body: AuthorizeBody, caller: Caller) -> Authorized:
    """Decide one request. Raises CallerError; a store that is out of reach is a denial."""
    caller.check_org(body.subject.org)
    request = _request(services, body, caller)
    kept_s = services.settings.authorize_kept_s
    idempotency = None
    if request.mode is not Mode.DRY:
        idempotency = caller.idempotency(body.subject.org, body, kept_s)
    told = services.outage.answered(idempotency)
    if told is not None:
        return Authorized(told, is_replay=True)
    id_body = services.new_id_body(body.subject.org)
    try:
        if services.health.memory >= STRANGERS_UNTIL:
            await _check_known(services, request.lineage)
        if services.is_backlogged:
            return await _backlogged(services, request, id_body, idempotency)
        return await _decide(services, request, body.partial, id_body, idempotency)
    except Overloaded as error:
        name = ids.DECISION + id_body
        return Authorized(overloaded(services, name, request.amount or 0, error))
    except Unavailable as error:
        opened = await allow(services, request, id_body, idempotency)
        if opened is not None:
            return Authorized(opened)
        services.outage.note_unacknowledged(ids.DECISION + id_body, request, idempotency)
        return _refused(services, request, id_body, Reason.store_unavailable, error.detail)


async def check_batch(services: SpendServices, body: BatchBody, caller: Caller) -> None:
    """Raise CallerError where a batch's own idempotency key came with another body before."""
    once = caller.idempotency("", body, services.settings.authorize_kept_s)
    if once is not None:
        name, first = names.join("b", once.name), once.digest
        with suppress(Unavailable):
            # Without the store the items are answered all the same, each under a key of its own.
            first = await services.store.first_body(name, once.digest, once.ttl_ms)
        if first != once.digest:
            raise reused()


async def _check_known(services: SpendServices, lineage: Lineage) -> None:
    """Raise Overloaded for a free user that is new to a store with little room left."""
    profile = await services.profiles.profile(lineage.org)
    if not profile.is_free or await services.store.is_known(lineage.org):
        return
    # What this worker has not heard of may have been created elsewhere.
    if (await services.profiles.load(lineage.org)).is_free:
        detail = "there is no room for new free users now; try again later"
        raise Overloaded(detail, STRANGER_RETRY_S)


async def _backlogged(
    services: SpendServices, request: plan.Request, id_body: str, idempotency: Idempotency | None
) -> Authorized:
    """No new decision while too many wait for the ledger; one that was made is answered again."""
    if idempotency is not None:
        kept = await services.store.kept(request.lineage.org, idempotency, Outcome)
        if kept is not None:
            return Authorized(await _answer_to(services, None, kept, None), is_replay=True)
    return _refused(services, request, id_body, Reason.ledger_backlog, services.backlog_detail)


def _refused(
    services: SpendServices,
    request: plan.Request,
    id_body: str,
    reason: Reason,
    detail: str,
) -> Authorized:
    """The answer when nothing could be asked: nothing is promised, nothing is recorded."""
    services.hooks.on_unavailable(reason.name)
    name, amount = ids.DECISION + id_body, request.amount or 0
    return Authorized(refused_answer(name, amount, reason, detail))


def overloaded(
    services: SpendServices, decision_id: str, amount: int, error: Overloaded
) -> AuthorizeAnswer:
    """The answer to a request that was shed: it was never asked, and may be again."""
    services.hooks.on_unavailable(Reason.overloaded.name)
    detail, after_s = error.detail, error.retry_after_s
    return refused_answer(decision_id, amount, Reason.overloaded, detail, after_s)


def _request(services: SpendServices, body: AuthorizeBody, caller: Caller) -> plan.Request:
    exactly_one(body.quantity, body.amount_micros, "quantity and amount_micros")
    if body.amount_micros is not None:
        check_range(body.amount_micros, "the amount", "/amount_micros")
    subject = body.subject
    lineage = Lineage(
        subject.org,
        subject.project or "",
        known_as(services, subject.user or ""),
        subject.key or "",
        body.run or "",
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
        masked(body.context, services.secret),
        caller.credential.id,
        settles=bool(body.capture),
        challenge=body.challenge.decision if body.challenge and body.challenge.passed else "",
        tags=body.tags or {},
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
    services: SpendServices,
    request: plan.Request,
    partial: Partial | None,
    id_body: str,
    idempotency: Idempotency | None,
) -> Authorized:
    """Plan and ask the store until it decides: again when stale, smaller when partial."""
    probes = PARTIAL_PROBES if partial is not None else 0
    # Once: a decision is assessed by one set of rules, however often it is planned.
    policies, at_ms = services.rules.policies, services.clock.now_ms()
    request = enforcement.prepared(policies, request)
    asked_for, started = request, asyncio.get_running_loop().time()
    is_verified = False
    while True:
        try:
            terms = await services.profiles.terms(
                request.lineage, request.product, services.clock.now_ms()
            )
            amount = plan.quote(terms, request)
        except CallerError as error:
            if is_verified:
                org = request.lineage.org
                reply = await kept_or(services, org, idempotency, Outcome, error)
                return Authorized(await _answer_to(services, None, reply, None), is_replay=True)
            # What this worker believes may be old; before it refuses, it looks.
            await services.profiles.load(request.lineage.org)
            is_verified = True
            continue
        is_partial = partial is not None
        asked = plan.make(
            terms, request, ids.DECISION + id_body, ids.HOLD + id_body, amount, is_partial
        )
        met = policies.tallying.in_play(asked, at_ms)
        if not policies.is_empty or asked.tallied is not None:
            await enforcement.before(services, policies, asked, request, at_ms)
        order = plan.assemble(
            terms,
            asked,
            request,
            records.encode_asked(asked, terms),
            services.clock.now_ms() + services.settings.decision_deadline_ms,
            probe=probes > 0,
            idempotency=idempotency,
            met=met,
        )
        reply = await services.store.authorize(order)
        if reply.status is Status.STALE:
            await when_stale(services, request.lineage.org, reply, started, terms.needs.versions)
            request = asked_for
        elif reply.status is Status.ROOM and partial is not None:
            probes -= 1
            smaller = _smaller(terms, asked, reply.outcome, partial)
            if smaller is None:
                request, probes = asked_for, 0
            else:
                request = structs.replace(request, quantity=smaller)
        else:
            answer = await _answer_to(services, asked, reply, terms.needs)
            return Authorized(answer, reply.status is Status.REPLAY)


async def _answer_to(
    services: SpendServices, asked: RequestRecord | None, reply: Reply, needs: PlanTemplate | None
) -> AuthorizeAnswer | Raw:
    """Build the answer to an authorize from its judged record."""
    _check(reply)
    if asked is None or asked.risk is not None or reply.status is Status.REPLAY:
        asked, reply = await enforcement.after(services, asked, reply)
        if reply.status is Status.REPLAY and asked is not None and asked.mode != Mode.DRY:
            await _claim_for_retry(services, asked.id, reply)
    return _answer(services, asked, reply, needs)


async def _claim_for_retry(services: SpendServices, decision_id: str, reply: Reply) -> None:
    """Claim a decision for a retry, so that it is not reversed if its first answer was lost."""
    outcome = reply.outcome
    if outcome is None or not outcome.allowed:
        return
    if services.clock.now_ms() - outcome.now_ms > UNACKNOWLEDGED_MS:
        return
    if await services.store.claim(decision_id, TOLD) != TOLD:
        detail = f"{decision_id} was reversed, as its answer was lost; send the request again"
        raise Unavailable("store_unavailable", detail)


def _smaller(
    terms: Terms, asked: RequestRecord, outcome: Outcome | None, partial: Partial
) -> dict[str, int] | None:
    if terms.price is None or asked.quantity is None or outcome is None:
        return None
    units = units_that_fit(
        terms.price,
        asked.quantity,
        partial.unit,
        partial.at_least,
        affordable_micros(asked, outcome),
        unit_rooms(asked, outcome),
    )
    if units is None or units == asked.quantity[partial.unit]:
        return None
    return {**asked.quantity, partial.unit: units}


def answer_of(
    services: SpendServices, asked: RequestRecord | None, reply: Reply, needs: PlanTemplate | None
) -> AuthorizeAnswer | Raw:
    """The answer a reply makes; to what was asked the first time when it is a replay."""
    _check(reply)
    if reply.status is Status.REPLAY:
        asked = records.decode_asked(reply.body)
    return _answer(services, asked, reply, needs)


def _check(reply: Reply) -> None:
    if reply.status is Status.REUSED:
        raise reused()
    if reply.status is Status.CLOSED:
        raise Unavailable("store_unavailable", "the shard is closed until it is rebuilt")


def _answer(
    services: SpendServices, asked: RequestRecord | None, reply: Reply, needs: PlanTemplate | None
) -> AuthorizeAnswer | Raw:
    outcome, is_new = reply.outcome, reply.status is not Status.REPLAY
    assert asked is not None and outcome is not None
    if outcome.allowed and is_new and needs is not None:
        services.hooks.on_decision(asked, allowed=True, code=0)
        return _shown(needs, asked.terms).encode(asked, outcome)
    decision = conclude(asked, outcome)
    if is_new:
        code = decision.reasons[0].code if decision.reasons else 0
        services.hooks.on_decision(asked, decision.allowed, code)
    return authorize_answer(decision)


def _shown(needs: PlanTemplate, terms: RecordedTerms) -> AllowedAnswers:
    if not isinstance(needs.shown, AllowedAnswers):
        needs.shown = AllowedAnswers(terms)
    return needs.shown
