"""Answers about the decision log, backtests, lists and events."""

from __future__ import annotations

from gateway.wire.answers import Answer, ReasonAnswer


class ItemAnswer(Answer):
    """A list item. The gateway has only a keyed hash; `value` is what the caller sent."""

    list: str
    value: str
    expires_at: str | None
    note: str
    author: str
    updated_at: str


class ItemsAnswer(Answer):
    """How many items were put."""

    list: str
    items: int


class EventAnswer(Answer):
    """An event as it was recorded."""

    id: str
    type: str
    at: str
    recorded_at: str


class RuleHits(Answer):
    """What one rule matched; `alone` those that no other rule matched; by their labels the rest."""

    rule: str
    requests: int
    amount_micros: int
    alone: int
    fraud: int
    good: int
    examples: list[str]
    overlaps: dict[str, int]


class BacktestAnswer(Answer):
    """What a rule set would have made of requests that passed account, price and money.

    Of those that it decided itself, `same` are decided as they were, and `differs` are not. `fraud`
    and `good` are what labels say by now; most requests have none. While it is `running`, rows of
    the ledger are `looked_at`, and there are no results; it may end `done`, `cancelled`, `failed`
    (the `detail` says why) or `lost`, with the worker that ran it.
    """

    id: str
    state: str
    detail: str | None
    looked_at: int
    rows: int
    ruleset: str
    requests: int
    amount_micros: int
    stopped: int
    stopped_micros: int
    same: int
    differs: int
    fraud: int
    fraud_stopped: int
    fraud_stopped_micros: int
    good_stopped: int
    good_stopped_micros: int
    rules: list[RuleHits]


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
    """The newest first. `cursor` goes on with older ones, null when there are none."""

    decisions: list[LoggedAnswer]
    cursor: str | None
