"""The kinds of limits, as one table: what each counts, in which shape, and how it refuses.

A new kind of cap or rate limit is a row here and a way to set it; neither machine changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from gateway.core.counters import GAUGE, MONEY, ONE, SLIDING, SLOT, TOKENS, UNITS, WINDOW
from gateway.core.reasons import Reason


class LimitKind(Struct, frozen=True):
    """A kind of limit.

    `label` is what callers see, `shape` its counter's, `measure` which share of a request it
    counts, `reason` that of its refusal. `unit` names what `limit` counts, "" where the limit
    itself names units.
    """

    label: str
    shape: int
    measure: int
    reason: Reason
    unit: str

    @property
    def is_cap(self) -> bool:
        """True for a cap, of money or of units; False for a rate limit."""
        return self.reason is Reason.cap_exceeded

    @property
    def is_money(self) -> bool:
        """True if it counts micros."""
        return self.measure == MONEY

    @property
    def counts_calls(self) -> bool:
        """True if it counts requests or open holds: an extend adds to neither."""
        return self.measure in (ONE, SLOT)

    @property
    def is_kept_by_hold(self) -> bool:
        """True if the end of a hold corrects what it counted."""
        return self.measure != ONE


MICROS = "micros"
"""The unit of limits of money."""
_CAP, _RATE, _SLOTS = Reason.cap_exceeded, Reason.rate_limited, Reason.concurrency_limited
LIMIT_KINDS: dict[str, LimitKind] = {
    "cap": LimitKind("cap", WINDOW, MONEY, _CAP, MICROS),
    "rolling_cap": LimitKind("cap", SLIDING, MONEY, _CAP, MICROS),
    "unit_cap": LimitKind("cap", WINDOW, UNITS, _CAP, ""),
    "rolling_unit_cap": LimitKind("cap", SLIDING, UNITS, _CAP, ""),
    "requests": LimitKind("requests", SLIDING, ONE, _RATE, "requests"),
    "tokens": LimitKind("tokens", SLIDING, TOKENS, _RATE, "tokens"),
    "units": LimitKind("units", SLIDING, UNITS, _RATE, ""),
    "concurrent": LimitKind("concurrent", GAUGE, SLOT, _SLOTS, "concurrent"),
}
"""Every kind, by the name that records have of it; a name never changes its meaning."""

JOINED = "+"
"""Between the units of a limit, where they are one text."""


def label_of(units: Sequence[str]) -> str:
    """Name several units as one: what a hold remembers, and callers see."""
    return JOINED.join(units)


def sum_of(quantity: Mapping[str, int] | None, units: Sequence[str]) -> int:
    """Sum the counts of some units in a quantity; 0 without one."""
    return sum(quantity.get(unit, 0) for unit in units) if quantity else 0


def tokens_of(quantity: Mapping[str, int]) -> int:
    """Sum all units whose name ends in `_tokens`: what token rate limits count."""
    return sum(count for unit, count in quantity.items() if unit.endswith("_tokens"))


def finals_of(
    counted: Sequence[int | str], quantity: Mapping[str, int] | None
) -> dict[int | str, int]:
    """Compute what a captured quantity leaves in counters of tokens and units.

    `counted` is what a hold's counters measure: an index, or units by their label. A capture in
    money (None) says nothing of them: each keeps its estimate.
    """
    if quantity is None:
        return {}
    finals: dict[int | str, int] = {TOKENS: tokens_of(quantity)}
    for measure in counted:
        if isinstance(measure, str):
            finals[measure] = sum_of(quantity, measure.split(JOINED))
    return finals
