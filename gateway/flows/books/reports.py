"""Report the trial balance and the head of the chain."""

from __future__ import annotations

from gateway.flows.shared.services import SharedServices
from gateway.wire.answers.books import (
    AccountTotal,
    CurrencyBalance,
    HeadAnswer,
    TrialBalanceAnswer,
)


async def trial_balance(services: SharedServices) -> TrialBalanceAnswer:
    """Return debits and credits by currency and kind of account; equal, or the books are wrong."""
    currencies: dict[str, CurrencyBalance] = {}
    for total in await services.ledger.trial_balance():
        empty = CurrencyBalance(accounts=[], debits_micros=0, credits_micros=0)
        of = currencies.setdefault(total.currency, empty)
        of.accounts.append(
            AccountTotal(kind=total.kind, debits_micros=total.debits, credits_micros=total.credits)
        )
        of.debits_micros += total.debits
        of.credits_micros += total.credits
    return TrialBalanceAnswer(currencies=currencies)


async def head(services: SharedServices) -> HeadAnswer:
    """Return the head of the chain: once published, it proves that nothing before it changed."""
    found = await services.ledger.head()
    return HeadAnswer(batch=found.n, rows=found.rows, hash=found.hash.hex())
