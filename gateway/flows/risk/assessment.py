"""Assess a request before the store is asked; what follows from it is added to the plan.

Two phases: rules that read the request alone can refuse it before the store is asked. What the
store counts is judged afterwards, as a pure function of the record, so a retry and every later
reader get the same result.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import structs

from gateway.core.commands import Mode, Outcome
from gateway.core.decision import RISK_REASONS, conclude
from gateway.core.facts import SIGNALS, facts_of
from gateway.core.reasons import Reason, Refusal
from gateway.core.request_record import RequestRecord, Risk, Shadowed
from gateway.flows.risk.list_hits import BLOCKED, listing, waits
from gateway.flows.risk.policies import Policies
from gateway.flows.risk.scoring import SCORED, UNSCORED
from rules.ruleset import Rule, RuleSet

MOST_TOLD = 10
"""Most rules that a refusal gives as its reasons; the record has all that matched."""
STOPS = {"block": Reason.rule_blocked, "challenge": Reason.challenge_required}
"""Actions that refuse, and the reason they give."""


def assess(policies: Policies, asked: RequestRecord, at_ms: int) -> Risk | None:
    """Assess a request by the rule sets in force, before the store is asked.

    None where none is in force, or it is refused anyway. The refusals that follow are added to it.
    """
    if asked.is_refused or (policies.is_empty and not listing(asked)):
        return None
    phased = policies.of(asked.terms.org)
    more: Any = {"version": policies.version, "scoring": policies.scoring}
    if waits(asked):
        name = phased.ruleset.id if phased is not None else ""
        asked.risk = Risk(name, at_ms, "", (), 0, **more)
        return asked.risk
    if phased is None and not policies.shadows:
        asked.risk = Risk("", at_ms, "", (), 0, **more)
        return asked.risk
    facts, currency, shadows = facts_of(asked, at_ms), asked.terms.currency, []
    for shadow in policies.shadows:
        verdict = shadow.before.evaluate(facts, currency, at_ms)
        if verdict.matches:
            shadows.append(Shadowed(shadow.ruleset.id, verdict.action, rule_ids(verdict.matches)))
    if phased is None:
        asked.risk = Risk("", at_ms, "", (), 0, tuple(shadows), **more)
        return asked.risk
    verdict = phased.before.evaluate(facts, currency, at_ms)
    asked.refusals += refusals_of(verdict.action, verdict.matches)
    unknown, ids = len(verdict.unknown), rule_ids(verdict.matches)
    asked.risk = Risk(
        phased.ruleset.id,
        at_ms,
        verdict.action,
        ids,
        unknown,
        tuple(shadows),
        **more,
    )
    return asked.risk


def reads_of(ruleset: RuleSet) -> tuple[str, ...]:
    """Counters and lists that a rule set reads."""
    names = (str(what) for what in ruleset.inputs if not isinstance(what, str))
    return tuple(name for name in names if name not in SIGNALS)


def is_assessed(asked: RequestRecord, out: Outcome) -> bool:
    """Whether rules alone could have stopped it: they see no other request."""
    if asked.mode == Mode.DRY or asked.terms.customer is None:
        return False
    if out.allowed:
        return True
    # Of a request that account, price or money refuse, no reason of risk is told.
    reasons = conclude(asked, out).reasons
    return bool(reasons) and reasons[0].code in RISK_REASONS


def lift_challenge(asked: RequestRecord) -> None:
    """Let a request pass whose subject passed the check, whichever phase asks for it."""
    assert asked.risk is not None
    asked.risk = structs.replace(asked.risk, is_lifted=True)
    asked.refusals = tuple(r for r in asked.refusals if r.code != Reason.challenge_required)


def refusals_of(action: str, matches: Iterable[Rule]) -> tuple[Refusal, ...]:
    """Refusals of an action, one for each matched rule; none unless the action denies."""
    reason = STOPS.get(action)
    if reason is None:
        return ()
    found = [rule for rule in matches if rule.action == action]
    return tuple(_refusal(rule, reason) for rule in found[:MOST_TOLD])


def _refusal(rule: Rule, reason: Reason) -> Refusal:
    if rule.id.startswith(BLOCKED):
        return Refusal(int(Reason.list_blocked), "block", rule.reason)
    if rule.id in (SCORED, UNSCORED):
        reason = Reason.risk_too_high if rule.action == "block" else reason
        return Refusal(int(reason), rule.owner, rule.reason)
    return Refusal(int(reason), rule.id, rule.reason)


def rule_ids(matches: Iterable[Rule]) -> tuple[str, ...]:
    """Their ids, in their order."""
    return tuple([rule.id for rule in matches])
