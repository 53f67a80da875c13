"""Handlers of rule sets."""

from __future__ import annotations

import asyncio

from gateway.catalog.backtests import DONE, FAILED, RUNNING, Run
from gateway.catalog.policy_log import (
    EVERYBODY,
    USED,
    WARM,
    WARMING,
    Change,
    PoliciesInForce,
    Stored,
    in_force,
)
from gateway.core.windows import DAY_MS
from gateway.flows.analysis.backtest import Backtest, Span
from gateway.flows.rollout import backtest_jobs, rule_sets
from gateway.http.endpoint import Answered, Call
from gateway.http.query import after_in, cursor_of, page_limit_in
from gateway.http.services import Services
from gateway.wire.answers.backtests import BacktestAnswer, RuleHits
from gateway.wire.answers.base import PageAnswer, rfc3339
from gateway.wire.answers.rule_sets import (
    PoliciesAnswer,
    RuleSetAnswer,
    RuleSetChange,
    RuleSetsAnswer,
    Share,
)
from gateway.wire.decode import milliseconds
from gateway.wire.requests.risk import ActivateBody, RuleSetBody, SpanBody
from gateway.wire.requests.spend import EmptyBody
from rules.ruleset import load

MOST_OVERLAPS = 10


async def post_ruleset(services: Services, call: Call[RuleSetBody]) -> Answered[RuleSetAnswer]:
    """POST /v1/rulesets."""
    made = await rule_sets.submit(services, call.body, call.caller)
    return Answered(await _whole(services, made))


async def get_rulesets(services: Services, call: Call[None]) -> Answered[RuleSetsAnswer]:
    """GET /v1/rulesets."""
    call.caller.check_unbound(rule_sets.CHANGE)
    changes = await services.rulesets.changes()
    known = in_force(changes), _were_set(changes)
    listed = [_answer(made, *known) for made in await services.rulesets.listed()]
    told = [
        RuleSetChange(
            n=c.n,
            ruleset=c.ruleset,
            mode=c.mode,
            percent=c.percent,
            author=c.author,
            note=c.note,
            at=rfc3339(c.at_ms),
        )
        for c in changes
    ]
    return Answered(RuleSetsAnswer(rulesets=listed, changes=told, data=listed))


async def get_ruleset(services: Services, call: Call[None]) -> Answered[RuleSetAnswer]:
    """GET /v1/rulesets/{id}."""
    call.caller.check_unbound(rule_sets.CHANGE)
    stored = await rule_sets.find(services, call.ids["id"])
    return Answered(await _whole(services, stored))


async def activate(services: Services, call: Call[ActivateBody]) -> Answered[PoliciesAnswer]:
    """POST /v1/rulesets/{id}/activate."""
    now, is_replay = await rule_sets.activate(services, call.ids["id"], call.body, call.caller)
    return Answered(_in_force(now), is_replay)


async def rollback(services: Services, call: Call[EmptyBody]) -> Answered[PoliciesAnswer]:
    """POST /v1/rulesets/rollback."""
    return Answered(_in_force(await rule_sets.rollback(services, call.caller)))


async def backtest(services: Services, call: Call[SpanBody]) -> Answered[BacktestAnswer]:
    """POST /v1/rulesets/{id}/backtest."""
    now_ms, ruleset = services.clock.now_ms(), call.ids["id"]
    to_ms = milliseconds(call.body.to) or now_ms + DAY_MS
    from_ms = milliseconds(call.body.from_) or now_ms - DAY_MS
    most, labels_ms = services.settings.backtest_rows, milliseconds(call.body.labels_by) or 0
    span = Span(from_ms, to_ms, most, labels_ms)
    return _progress(await backtest_jobs.begin(services, ruleset, span, call.caller))


async def get_backtest(services: Services, call: Call[None]) -> Answered[BacktestAnswer]:
    """GET /v1/backtests/{id}."""
    return _progress(await backtest_jobs.look(services, call.ids["id"], call.caller))


async def get_backtests(
    services: Services, call: Call[None]
) -> Answered[PageAnswer[BacktestAnswer]]:
    """GET /v1/backtests."""
    after, limit = after_in(call.query.get("cursor")), page_limit_in(call.query.get("limit"))
    found = await backtest_jobs.listed(services, after, limit, call.caller)
    cursor = cursor_of(found[-1].id) if len(found) == limit else None
    shown = [_backtest_answer(run) for run in found]
    return Answered(PageAnswer(data=shown, next_cursor=cursor))


async def delete_backtest(services: Services, call: Call[None]) -> Answered[None]:
    """DELETE /v1/backtests/{id}."""
    await backtest_jobs.cancel(services, call.ids["id"], call.caller)
    return Answered(None, status=204)


def _progress(run: Run) -> Answered[BacktestAnswer]:
    return Answered(_backtest_answer(run), status=202 if run.state == RUNNING else 200)


def _backtest_answer(run: Run) -> BacktestAnswer:
    found = backtest_jobs.result_of(run.result) if run.state == DONE else Backtest()
    hits = [
        RuleHits(
            rule=rule,
            requests=h.requests,
            amount_micros=h.micros,
            alone=h.alone,
            fraud=h.fraud,
            good=h.good,
            examples=h.examples,
            overlaps=dict(sorted(h.others.items(), key=lambda one: -one[1])[:MOST_OVERLAPS]),
        )
        for rule, h in found.rules.items()
    ]
    return BacktestAnswer(
        id=run.id,
        state=run.state,
        detail=run.result.decode() if run.state == FAILED else None,
        looked_at=run.looked_at,
        rows=run.rows,
        ruleset=run.ruleset,
        requests=found.requests,
        amount_micros=found.micros,
        stopped=found.stopped,
        stopped_micros=found.stopped_micros,
        same=found.same,
        differs=found.differs,
        fraud=found.fraud,
        fraud_stopped=found.fraud_stopped,
        fraud_stopped_micros=found.fraud_stopped_micros,
        good_stopped=found.good_stopped,
        good_stopped_micros=found.good_stopped_micros,
        rules=hits,
    )


def _were_set(changes: list[Change]) -> set[str]:
    """Rule sets that were more than drafts."""
    return {change.ruleset for change in changes if change.mode not in (WARMING, WARM, USED)}


def _in_force(now: PoliciesInForce) -> PoliciesAnswer:
    active = [Share(ruleset=ruleset, percent=percent) for ruleset, percent in now.active]
    return PoliciesAnswer(active=active, shadows=list(now.shadows))


def _answer(stored: Stored, now: PoliciesInForce, changed: set[str]) -> RuleSetAnswer:
    mode, percent = "draft", 0
    if stored.id in dict(now.active):
        mode, percent = "active", dict(now.active)[stored.id]
    elif stored.id in now.shadows:
        mode, percent = "shadow", EVERYBODY
    elif stored.id in changed:
        mode = "retired"
    return RuleSetAnswer(
        id=stored.id,
        mode=mode,
        percent=percent,
        author=stored.author,
        created_at=rfc3339(stored.created_ms),
        name=stored.name or None,
    )


async def _whole(services: Services, stored: Stored) -> RuleSetAnswer:
    changes = await services.rulesets.changes()
    answer = _answer(stored, in_force(changes), _were_set(changes))
    loaded = await asyncio.to_thread(load, stored.text)
    answer.rules, answer.text = [rule.id for rule in loaded.rules], stored.text
    return answer
