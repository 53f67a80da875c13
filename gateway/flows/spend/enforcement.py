"""Apply an assessment to a request: refuse it, release its hold, or settle it."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.core import plan
from gateway.core.commands import Finish, Mode, Reply, Status
from gateway.core.holds import HoldStatus, Step
from gateway.core.request_record import EndNote, RequestRecord
from gateway.errors import Unavailable
from gateway.flows.risk.assessment import assess, lift_challenge
from gateway.flows.risk.judgement import judge, with_shadows
from gateway.flows.risk.list_hits import waits
from gateway.flows.risk.policies import Policies
from gateway.flows.risk.step_up import is_passed
from gateway.flows.spend.hold_terms import with_funds
from gateway.flows.spend.services import SpendServices
from gateway.store.admission import IS_PATIENT
from gateway.wire import records

ATTEMPTS = 5
SETTLES_WITHIN_MS = 30_000
"""Life in ms of the hold of an immediate capture that waits for its assessment."""


def prepared(policies: Policies, request: plan.Request) -> plan.Request:
    """The request as it is planned: held first, where what the store counts may still stop it."""
    phased = policies.of(request.lineage.org) if policies.active else None
    may_stop = (
        policies.tallying.may_block
        or policies.score_may_stop
        or (phased is not None and (phased.can_stop_after or policies.tallying.may_exempt))
    )
    if request.mode is Mode.CAPTURE and may_stop:
        return replace(request, mode=Mode.HOLD, hold_ttl_ms=SETTLES_WITHIN_MS)
    return request


async def before(
    services: SpendServices,
    policies: Policies,
    asked: RequestRecord,
    request: plan.Request,
    at_ms: int,
) -> None:
    """Assess what a request says, and whether it passed a challenge. Raises Unavailable."""
    risk = assess(policies, asked, at_ms)
    if risk is None or not request.challenge:
        return
    phased = policies.of(request.lineage.org)
    may_challenge = (
        risk.action == "challenge"
        or policies.score_may_stop
        or (phased is not None and (phased.can_stop_after or waits(asked)))
    )
    # Read from the ledger, as seldom as challenges are.
    if may_challenge and await is_passed(services, request.challenge, request.lineage):
        lift_challenge(asked)


async def after(
    services: SpendServices, asked: RequestRecord | None, reply: Reply
) -> tuple[RequestRecord | None, Reply]:
    """Judge a reply and enforce it: release the hold, or capture it. Returns the judged request.

    Both can be repeated: a retry completes what the first call began. Raises Unavailable.
    """
    out = reply.outcome
    if reply.status is Status.REPLAY:
        asked = records.decode_asked(reply.body)
    if asked is None or asked.risk is None or out is None:
        return asked, reply
    # What was begun is finished, however long that takes: it is no new request that may be shed.
    IS_PATIENT.set(True)
    judged, told = judge(await services.rules.of(asked), asked, out)
    if reply.status is not Status.REPLAY:
        judged = with_shadows(await services.rules.shadows_of(asked), judged, out)
    if not out.allowed:
        return judged, reply
    if asked.mode == Mode.HOLD and not told.allowed:
        await _give_back(services, judged)
    elif asked.settles_itself:
        await _settle(services, asked)
    return judged, replace(reply, outcome=told)


async def _give_back(services: SpendServices, asked: RequestRecord) -> None:
    """Release a hold that is refused; where the store does not answer, as soon as it does."""
    note = records.encode(EndNote(None, 0, asked.caller, asked.refusals))
    order = Finish(asked.terms.org, asked.hold_id, Step.release, body=note)
    try:
        reply = await services.store.finish(order)
        is_ended = reply.status is not Status.CLOSED
    except Unavailable:
        is_ended = False
    if not is_ended:
        services.outage.note_held(asked.id, asked.terms.org)


async def _settle(services: SpendServices, asked: RequestRecord) -> None:
    """Capture a hold that settles itself, once however often it is asked. Raises Unavailable."""
    note = records.encode(EndNote(asked.quantity, asked.amount, asked.caller))
    order = Finish(asked.terms.org, asked.hold_id, Step.capture, asked.amount, body=note)
    for _ in range(ATTEMPTS):
        reply = await services.store.finish(order)
        if reply.status is Status.DONE:
            return
        if reply.status is not Status.STALE:
            break
        # It has expired meanwhile: what it held went back, and is drawn anew.
        await services.profiles.refresh(asked.terms.org, reply.versions)
        order = await with_funds(services, order, asked)
    hold = reply.hold
    if reply.status is Status.MISSING and (kept := await services.ledger.hold(asked.hold_id)):
        hold = kept[0]
    if hold is None or hold.state is not HoldStatus.captured:
        raise Unavailable("store_unavailable", "it could not be captured; try again")
