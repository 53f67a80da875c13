"""Quotes: what a request would cost at a rate-card version.

A quote is rounded once, at the end: a sum of rounded parts may differ from the rounded sum.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gateway.core.entities import CardVersion, Contract, Profile, RateCard
from gateway.core.money import check_range, divide_half_even
from gateway.core.windows import FOREVER_MS
from gateway.errors import CallerError

PER_MILLION = 1_000_000
FULL_BPS = 10_000


class Price(Struct, frozen=True, array_like=True):
    """The price of one product as agreed for one request; a hold keeps it to its end.

    `units` maps a unit to micro-units per million. The discount applies to the exact sum.
    `dearness` is the relative price: what one of each unit costs, in percent of the card's dearest
    product that is priced in the same units, 1 to 100 (0: not known).
    """

    card: str
    version: str
    currency: str
    units: dict[str, int]
    discount_bps: int = 0
    dearness: int = 0


class Tariff(Struct, frozen=True):
    """The card version in force for an org at a time, and the span (Unix ms) in which it is."""

    card: str
    version: CardVersion | None
    contract: Contract | None
    from_ms: int
    until_ms: int


def tariff(profile: Profile, now_ms: int) -> Tariff:
    """Find the contract's pinned version while it runs, else the version in effect now."""
    contract, from_ms, until_ms = profile.contract, 0, FOREVER_MS
    if contract is not None and profile.pinned is not None:
        ends_ms = contract.ends_ms if contract.ends_ms is not None else FOREVER_MS
        if contract.starts_ms <= now_ms < ends_ms:
            pinned = [v for v in profile.pinned.versions if v.version == contract.version]
            version = pinned[0] if pinned else None
            return Tariff(contract.rate_card, version, contract, contract.starts_ms, ends_ms)
        if now_ms < contract.starts_ms:
            until_ms = contract.starts_ms
        else:
            from_ms = ends_ms
    version, began_ms, changes_ms = _in_effect(profile.card, now_ms)
    span = (max(from_ms, began_ms), min(until_ms, changes_ms))
    return Tariff(profile.card.id, version, None, *span)


def _in_effect(card: RateCard, now_ms: int) -> tuple[CardVersion | None, int, int]:
    started = [v for v in card.versions if v.effective_ms <= now_ms]
    coming = [v.effective_ms for v in card.versions if v.effective_ms > now_ms]
    latest = max(started, key=lambda v: (v.effective_ms, v.version), default=None)
    began_ms = latest.effective_ms if latest is not None else 0
    return latest, began_ms, min(coming, default=FOREVER_MS)


def is_allowed(rate: Tariff, product: str) -> bool:
    """Return whether the contract lets the org use the product; without terms for it, it may."""
    terms = rate.contract.products.get(product) if rate.contract else None
    return terms is None or terms.allowed


def price_of(rate: Tariff, product: str) -> Price | None:
    """Return the price of a product, or None when nothing prices it, which never means free."""
    terms = rate.contract.products.get(product) if rate.contract else None
    version = rate.version
    units = version.products.get(product) if version else None
    if terms is not None and terms.prices is not None:
        units = terms.prices
    if not units or version is None:
        return None
    discount_bps = rate.contract.discount_bps if rate.contract else 0
    if terms is not None and terms.discount_bps is not None:
        discount_bps = terms.discount_bps
    dearness = _dearness(version, units)
    return Price(rate.card, version.version, version.currency, units, discount_bps, dearness)


def _dearness(version: CardVersion, units: Mapping[str, int]) -> int:
    alike = (of for of in version.products.values() if of.keys() == units.keys())
    dearest = max((sum(of.values()) for of in alike), default=0)
    return min(100, max(1, 100 * sum(units.values()) // dearest)) if dearest else 0


def cost_micros(price: Price, quantity: Mapping[str, int]) -> int:
    """Compute a quantity's cost: Σ quantity × price, discounted, / 10^6, rounded half-even once.

    Raises CallerError: `unknown_unit`, which names the product's units, or `amount_out_of_range`.
    """
    exact = 0
    for unit, count in quantity.items():
        per_million = price.units.get(unit)
        if per_million is None:
            raise CallerError(
                "unknown_unit",
                f"unknown unit {unit!r}; this product is priced in {', '.join(price.units)}",
                pointer="/quantity/" + unit.replace("~", "~0").replace("/", "~1"),
            )
        exact += count * per_million
    amount = divide_half_even(exact * (FULL_BPS - price.discount_bps), PER_MILLION * FULL_BPS)
    return check_range(amount, "the quote", "/quantity")
