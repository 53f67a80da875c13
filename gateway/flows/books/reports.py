"""Report the trial balance and the head of the chain."""

from __future__ import annotations

from typing import Any

from gateway.flows.shared.services import SharedServices


async def trial_balance(services: SharedServices) -> dict[str, Any]:
    """Debits and credits by currency and kind of account; equal, or the books are wrong."""
    currencies: dict[str, dict[str, Any]] = {}
    for total in await services.ledger.trial_balance():
        of = currencies.setdefault(
            total.currency, {"accounts": [], "debits_micros": 0, "credits_micros": 0}
        )
        of["accounts"].append(
            {"kind": total.kind, "debits_micros": total.debits, "credits_micros": total.credits}
        )
        of["debits_micros"] += total.debits
        of["credits_micros"] += total.credits
    return {"currencies": currencies}


async def head(services: SharedServices) -> dict[str, Any]:
    """Return the head of the chain: once published, it proves that nothing before it changed."""
    found = await services.ledger.head()
    return {"batch": found.n, "rows": found.rows, "hash": found.hash.hex()}
