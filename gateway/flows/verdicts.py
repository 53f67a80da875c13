"""What the assessment of a request does to it: refuse it, give back what was held, settle it."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.core import plan
from gateway.core.holds import Step
from gateway.core.orders import Finish, Mode, Reply, Status
from gateway.core.record import Asked, EndNote
from gateway.errors import Unavailable
from gateway.flows.challenges import is_passed
from gateway.flows.gateway import Gateway
from gateway.flows.risk import Policies, assess, judge, lift_challenge
from gateway.wire import records

SETTLES_WITHIN_MS = 30_000
"""How long what is to be captured at once may be on hold until it is."""


def prepared(policies: Policies, request: plan.Request) -> plan.Request:
    """The request as it is planned: held first, where what the store counts may still stop it."""
    phased = policies.of(request.lineage.org) if policies.active else None
    if request.mode is Mode.CAPTURE and phased is not None and phased.can_stop_after:
        return replace(request, mode=Mode.HOLD, hold_ttl_ms=SETTLES_WITHIN_MS)
    return request


async def before(
    gateway: Gateway, policies: Policies, asked: Asked, request: plan.Request, at_ms: int
) -> None:
    """Assess what a request says, and whether it passed a challenge. Raises Unavailable."""
    risk = assess(policies, asked, at_ms)
    if risk is None or not request.challenge or not risk.ruleset:
        return
    phased = policies.of(request.lineage.org)
    may_challenge = risk.action == "challenge" or (phased is not None and phased.can_stop_after)
    # Read from the ledger, as seldom as challenges are.
    if may_challenge and await is_passed(gateway, request.challenge, request.lineage):
        lift_challenge(asked)


async def after(gateway: Gateway, asked: Asked | None, reply: Reply) -> tuple[Asked | None, Reply]:
    """The request and its reply as they are told; what was held is given back, or settled.

    Both can be done again: a repeated call finishes what the first one began. Raises Unavailable.
    """
    out = reply.outcome
    if reply.status is Status.REPLAY:
        asked = records.decode_asked(reply.body)
    if asked is None or asked.risk is None or out is None or not out.allowed:
        return asked, reply
    judged, told = judge(await gateway.rules.of(asked), asked, out)
    if asked.mode == Mode.HOLD:
        if not told.allowed:
            note = EndNote(None, 0, asked.caller, judged.refusals)
            await _end(gateway, asked, Step.release, 0, note)
        elif asked.settles_itself:
            note = EndNote(asked.quantity, asked.amount, asked.caller)
            await _end(gateway, asked, Step.capture, asked.amount, note)
    return judged, replace(reply, outcome=told)


async def _end(gateway: Gateway, asked: Asked, step: Step, cost: int, note: EndNote) -> None:
    order = Finish(asked.terms.org, asked.hold_id, step, cost, body=records.encode(note))
    reply = await gateway.store.finish(order)
    if reply.status in (Status.CLOSED, Status.STALE, Status.RANGE):
        raise Unavailable("store_unavailable", "the hold could not be ended; try again")
