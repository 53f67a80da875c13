"""Answers about the ledger."""

from __future__ import annotations

from gateway.wire.answers.base import Answer


class AccountTotal(Answer):
    """All accounts of a kind."""

    kind: str
    debits_micros: int
    credits_micros: int


class CurrencyBalance(Answer):
    """The books of one currency."""

    accounts: list[AccountTotal]
    debits_micros: int
    credits_micros: int


class TrialBalanceAnswer(Answer):
    """Debits equal credits in every currency."""

    currencies: dict[str, CurrencyBalance]


class Difference(Answer):
    """Two amounts that should be equal."""

    org: str
    what: str
    hot_micros: int | None
    ledger_micros: int | None


class Checked(Answer):
    """Number of orgs and holds compared."""

    orgs: int
    holds: int


class ReconcileAnswer(Answer):
    """Whether hot state, ledger and decisions explain each other."""

    ok: bool
    checked: Checked
    lag_s: float
    differences: list[Difference]


class HeadAnswer(Answer):
    """The end of the ledger's chain: publish it, and nothing before it can change unseen."""

    batch: int
    rows: int
    hash: str
