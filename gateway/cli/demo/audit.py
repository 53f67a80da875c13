"""An independent recomputation of what the replay was charged, in exact fractions.

It knows nothing of the gateway's pricing: only the trace, the price list and the contract.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from gateway.cli.demo.data import list_prices
from gateway.cli.demo.replay import Charge
from gateway.client import Spendgate

EXACT = Context(prec=60)


def cost_micros(charge: Charge) -> int:
    """Price a use by the price list: exact dollars, then rounded to micro-units."""
    prices = list_prices()[charge.product]
    dollars = Decimal(0)
    for unit, count in charge.quantity.items():
        per_token = EXACT.divide(Decimal(prices[unit]), Decimal(10**12))
        dollars = EXACT.add(dollars, EXACT.multiply(per_token, Decimal(count)))
    kept = EXACT.divide(Decimal(10_000 - charge.discount_bps), Decimal(10_000))
    micros = EXACT.multiply(EXACT.multiply(dollars, kept), Decimal(10**6))
    return int(micros.quantize(Decimal(1), rounding=ROUND_HALF_EVEN, context=EXACT))


async def audit(gateway: Spendgate, charges: list[Charge]) -> dict[str, Any]:
    """Compare trace and price list with answers and with the ledger.

    A charge whose answer was lost was refunded: the ledger has both.
    """
    books = await gateway.call("GET", "/v1/ledger/trial_balance")
    usd = books["currencies"]["USD"]
    kinds = {account["kind"]: account for account in usd["accounts"]}
    shortfall = kinds.get("shortfall", {"debits_micros": 0})["debits_micros"]
    refunded = kinds.get("refund", {"debits_micros": 0})["debits_micros"]
    return {
        "recomputed_micros": sum(cost_micros(c) for c in charges),
        "answered_micros": sum(c.captured_micros + c.shortfall_micros for c in charges),
        "ledger_micros": kinds["revenue"]["credits_micros"] - refunded,
        "refunded_micros": refunded,
        "shortfall_micros": shortfall,
        "trial_balance_micros": usd["debits_micros"] - usd["credits_micros"],
    }
