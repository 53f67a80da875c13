"""Answers of the decision log."""

from __future__ import annotations

from gateway.wire.answers.base import Answer
from gateway.wire.answers.spend import ReasonAnswer


class LoggedAnswer(Answer):
    """A decision in the log; GET /v1/decisions/{id} has all of it."""

    id: str
    at: str
    subject: dict[str, str]
    product: str
    amount_micros: int
    currency: str
    decision: str
    reasons: list[ReasonAnswer]
    ruleset: str | None
    rules: list[str]
    review: bool


class DecisionsAnswer(Answer):
    """Decisions, the newest first, and the cursor of older ones, each under two names."""

    decisions: list[LoggedAnswer]
    cursor: str | None
    data: list[LoggedAnswer]
    next_cursor: str | None
