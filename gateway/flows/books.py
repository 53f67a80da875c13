"""The books as finance reads them: trial balance, usage, and what proves the ledger."""

from __future__ import annotations

from typing import Any

from gateway.flows.gateway import Caller, Gateway
from gateway.wire.answers import rfc3339


async def trial_balance(gateway: Gateway) -> dict[str, Any]:
    """Debits and credits by currency and kind of account; equal, or the books are wrong."""
    currencies: dict[str, dict[str, Any]] = {}
    for total in await gateway.ledger.trial_balance():
        of = currencies.setdefault(
            total.currency, {"accounts": [], "debits_micros": 0, "credits_micros": 0}
        )
        of["accounts"].append(
            {"kind": total.kind, "debits_micros": total.debits, "credits_micros": total.credits}
        )
        of["debits_micros"] += total.debits
        of["credits_micros"] += total.credits
    return {"currencies": currencies}


async def head(gateway: Gateway) -> dict[str, Any]:
    """The end of the chain: whoever publishes it can later prove that nothing before it changed."""
    found = await gateway.ledger.head()
    return {"batch": found.n, "rows": found.rows, "hash": found.hash.hex()}


async def usage(
    gateway: Gateway, org: str, span: tuple[int, int], group_by: tuple[str, ...], caller: Caller
) -> dict[str, Any]:
    """What an org was charged in [from, to), grouped by product and day (UTC)."""
    caller.check_org(org)
    rows = await gateway.ledger.usage(org, span[0], span[1], group_by)
    for row in rows:
        if "day" in row:
            row["day"] = rfc3339(row["day"] * 86_400_000)[:10]
    return {"rows": rows}
