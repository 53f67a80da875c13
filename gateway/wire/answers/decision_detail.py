"""Answers about one decision: the decision, its charges, the movements of balances."""

from __future__ import annotations

from typing import Any

from gateway.core.postings import Account
from gateway.wire.answers.base import Answer
from gateway.wire.answers.spend import AuthorizeAnswer, HoldAnswer


class Place(Answer):
    """Position of a record: row in the ledger, epoch and number in its shard, and time."""

    row: int
    shard: int
    epoch: int
    seq: int
    at: str


class AskedPart(Answer):
    """The request. Personal data in `context` are keyed hashes."""

    subject: dict[str, str]
    product: str
    mode: str
    quantity: dict[str, int] | None
    amount_micros: int
    run: str | None
    context: dict[str, Any]
    credential: str
    versions: list[int]
    tags: dict[str, str]


class ShadowPart(Answer):
    """Result that a rule set in shadow would have had."""

    ruleset: str
    action: str
    rules: list[str]


class ScorePart(Answer):
    """Score of the request, the model that made it, and the thresholds of its actions.

    `features` is the exact vector (null: missing), `contributions` what each feature added to the
    log-odds beside `expected`, those of an average request (exact TreeSHAP): largest first.
    """

    model: str
    score: float
    thresholds: dict[str, float]
    reasons: list[str]
    features: dict[str, float | None]
    expected: float
    contributions: dict[str, float]


class RiskPart(Answer):
    """Assessment of the request: rule set, time and matches.

    `unknown` counts rules whose facts were missing. `score` is null where no model scored the
    request; `degraded` is true where one should have.
    """

    ruleset: str | None
    at: str
    action: str | None
    rules: list[str]
    unknown: int
    shadows: list[ShadowPart]
    degraded: bool
    model: str | None
    score: float | None


class Event(Place):
    """One of the records under a decision's id; `id` is that of the decision, or of the hold."""

    kind: str
    id: str
    status: str


class ChargePart(Place):
    """A charge."""

    product: str
    currency: str
    captured_micros: int
    shortfall_micros: int
    quantity: dict[str, int]


class AccountName(Answer):
    """An account: whose book, of which kind, of which grant or quota."""

    book: str
    kind: str
    ref: str | None
    currency: str


class Movement(Place):
    """Money that moved from the credited to the debited account."""

    debit: AccountName
    credit: AccountName
    amount_micros: int


class LabelAnswer(Answer):
    """A label: since when the fact is known, and when it was recorded."""

    decision: str
    label: str
    observed_at: str
    recorded_at: str
    author: str
    note: str | None = None


class LabelsAnswer(Answer):
    """Results of a batch of labels, in their order: the label, or a problem."""

    results: list[Any]


class DecisionAnswer(Answer):
    """Three linked datasets under one id: the decision, its charges, and movements of balances.

    `tallies` are the velocity counters by the facts that read them. `labels` are in the order they
    were recorded: the last one is valid.
    """

    id: str
    kind: str
    decided: Place
    asked: AskedPart
    answer: AuthorizeAnswer
    signals: dict[str, list[int]]
    tallies: dict[str, int]
    risk: RiskPart | None
    scoring: ScorePart | None
    hold: HoldAnswer | None
    events: list[Event]
    charges: list[ChargePart]
    movements: list[Movement]
    labels: list[LabelAnswer]


class ReplayAnswer(Answer):
    """A decision made again from its record: answer and assessment.

    If it is not the `same`, the recorded result is included, too.
    """

    id: str
    same: bool
    answer: AuthorizeAnswer
    risk: RiskPart | None
    recorded: AuthorizeAnswer | None
    recorded_risk: RiskPart | None


def account_name(account: Account) -> AccountName:
    """An account as callers see it."""
    ref = account.ref or None
    return AccountName(book=account.book, kind=account.kind, ref=ref, currency=account.currency)
