"""Score a request with the model, and apply thresholds. Pure.

A score counts as a matched rule: an exempt request is exempt from it, and a passed step-up lifts
its challenge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from gateway.core.request_record import Scoring
from models.artifact import ACTIONS
from models.serving import Served
from rules.ruleset import Rule
from rules.syntax import Node

SCORED, UNSCORED = "@score", "@unscored"
"""The rules that a score is, and that there is none where there should be one."""

LOOKS_UNLIKE = "this request looks unlike what is usual here"
"""The detail that a caller gets. Score, thresholds and features would teach an abuser to pass them;
a reader of decisions finds them there."""


def scored(model: Served, scoring: Scoring, facts: Mapping[str, Any]) -> Scoring:
    """With the score of a request, of its facts; and what is unusual where that is worth a look."""
    score = model.score(facts)
    reasons = model.reasons(facts) if _action(scoring.cuts, score) else ()
    return replace(scoring, score=score, reasons=reasons)


def thresholds_of(cuts: tuple[float, float, float]) -> dict[str, float]:
    """Actions of a model, each with the score from which on it applies."""
    return {action: cut for action, cut in zip(ACTIONS, cuts, strict=True) if cut}


def score_hits(scoring: Scoring) -> tuple[Rule, ...]:
    """The rule that a score is, if it brings anything about; its owner is the model."""
    if scoring.missing in ("challenge", "block"):
        reason = "no score could be made of it"
        return (_rule(UNSCORED, scoring.missing, reason, ""),)
    action = _action(scoring.cuts, scoring.score)
    if not action:
        return ()
    return (_rule(SCORED, action, LOOKS_UNLIKE, scoring.model),)


def _action(cuts: tuple[float, float, float], score: float | None) -> str:
    if score is None:
        return ""
    reached = (action for action, cut in thresholds_of(cuts).items() if score >= cut)
    return next(reached, "")


def _rule(name: str, action: str, reason: str, owner: str) -> Rule:
    return Rule(name, action, "", Node("const", 0, value=True), reason, "", owner, 0, ())
