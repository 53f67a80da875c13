"""Handlers of decisions: one with all that followed, the log, one made again."""

from __future__ import annotations

from gateway.core.reasons import Reason
from gateway.flows.decisions import detail, log, replay
from gateway.flows.decisions.log import Logged, Wanted
from gateway.http.endpoint import Answered, Call
from gateway.http.query import limit_in, one_of, org_in, row_in, time_in
from gateway.http.services import Services
from gateway.wire.answers.base import rfc3339
from gateway.wire.answers.decision_detail import DecisionAnswer, ReplayAnswer
from gateway.wire.answers.decision_log import DecisionsAnswer, LoggedAnswer
from gateway.wire.answers.spend import authorize_answer, subject_of
from gateway.wire.requests.spend import EmptyBody

DAY_S = 86_400
OUTCOMES = ("allow", "deny", "challenge")


async def get_decision(services: Services, call: Call[None]) -> Answered[DecisionAnswer]:
    """GET /v1/decisions/{id}."""
    return Answered(await detail.get(services, call.ids["id"], call.caller))


async def get_decisions(services: Services, call: Call[None]) -> Answered[DecisionsAnswer]:
    """GET /v1/decisions."""
    now_ms, query = services.clock.now_ms(), call.query
    wanted = Wanted(
        time_in(query.get("from"), "from", now_ms - DAY_S * 1000),
        time_in(query.get("to"), "to", now_ms + DAY_S * 1000),
        org_in(query.get("org")),
        one_of(query, "decision", OUTCOMES),
        one_of(query, "reason", [reason.name for reason in Reason]),
        row_in(query.get("cursor")),
    )
    limit = limit_in(query.get("limit"))
    found, before = await log.look(services, wanted, limit, call.caller)
    cursor = None if before is None else str(before)
    listed = [_logged(one) for one in found]
    return Answered(
        DecisionsAnswer(decisions=listed, cursor=cursor, data=listed, next_cursor=cursor)
    )


def _logged(one: Logged) -> LoggedAnswer:
    decision, terms = one.decision, one.decision.asked.terms
    told = authorize_answer(decision)
    return LoggedAnswer(
        id=told.id,
        at=rfc3339(one.at_ms),
        subject=subject_of(terms),
        product=terms.product,
        amount_micros=decision.asked.amount,
        currency=terms.currency,
        decision=told.decision,
        reasons=told.reasons,
        ruleset=told.risk.ruleset,
        rules=told.risk.rules,
        review=told.risk.review,
    )


async def replay_decision(services: Services, call: Call[EmptyBody]) -> Answered[ReplayAnswer]:
    """POST /v1/decisions/{id}/replay."""
    found = await replay.replay(services, call.ids["id"], call.caller)
    recorded = None if found.is_same else found.recorded
    return Answered(
        ReplayAnswer(
            id=call.ids["id"],
            same=found.is_same,
            answer=found.again[0],
            risk=detail.risk_part(found.again[1]),
            recorded=recorded[0] if recorded else None,
            recorded_risk=detail.risk_part(recorded[1]) if recorded else None,
        )
    )
