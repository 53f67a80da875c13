"""Answers about backtests."""

from __future__ import annotations

from gateway.wire.answers.base import Answer


class RuleHits(Answer):
    """Matches of one rule; `alone` those that no other rule matched; the rest by label."""

    rule: str
    requests: int
    amount_micros: int
    alone: int
    fraud: int
    good: int
    examples: list[str]
    overlaps: dict[str, int]


class BacktestAnswer(Answer):
    """Result of a rule set on past requests that passed account, price and money.

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
