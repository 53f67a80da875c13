"""Answers about decisions that wait for review."""

from __future__ import annotations

from gateway.wire.answers.base import Answer


class ReviewAnswer(Answer):
    """A decision that waits for review, and the rules it matched."""

    decision: str
    at: str
    org: str
    amount_micros: int
    currency: str
    ruleset: str
    rules: list[str]


class ReviewsAnswer(Answer):
    """Decisions that wait for review, oldest first, and the cursor, each under two names."""

    reviews: list[ReviewAnswer]
    cursor: str | None
    data: list[ReviewAnswer]
    next_cursor: str | None
