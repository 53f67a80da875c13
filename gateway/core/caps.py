"""Turn caps and rate limits into counters: those that apply to a lineage, each in its window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from gateway.core import names
from gateway.core.counters import (
    GAUGE,
    MONEY,
    NO_LIMIT,
    ONE,
    SET_ASIDE,
    SLIDING,
    SLOT,
    TOKENS,
    WINDOW,
    Counter,
)
from gateway.core.entities import Cap, Level, Lineage, LineageTerms, Mode, Profile, RateLimit
from gateway.core.request_record import LimitTerms
from gateway.core.windows import DAY_MS, FOREVER_MS, HOUR_MS, bounds

WINDOW_GRACE_MS = 2 * HOUR_MS
"""Time in ms that a window's counter outlives its window, for extends and late captures.

A late capture comes up to `holds.LATE_CAPTURE_MS` after the hold expired, by default. If the
counter were gone by then, the charge would count in no window.
"""
RUN_LIFETIME_MS = 30 * DAY_MS
"""Time in ms that the counter of a run's lifetime cap lives after the terms were compiled."""
FREE_LIFETIME_MS = 90 * DAY_MS
"""Time in ms that the counter of a free user's lifetime cap lives after the terms were compiled."""

HELD = "held"
"""The name of the gauge of all money that an org has on hold."""
FREE_HELD = "held.free"
"""The name of the same gauge of a free user.

Its money is booked on another account, so the gauge must not mix with the org's own.
"""

LimitKind = Literal["cap", "requests", "tokens", "concurrent"]
MEASURES = {"cap": MONEY, "requests": ONE, "tokens": TOKENS, "concurrent": SLOT}


class Applied(Struct, frozen=True):
    """A cap or rate limit that applies to a lineage, in its current window.

    `starts_ms` and `ends_ms` bound the window (Unix ms); `ends_ms` is 0 where a limit has none.
    `period_ms` and `index` are the counter's.
    """

    id: str
    kind: LimitKind
    level: Level
    mode: Mode
    limit: int
    name: str
    shape: int
    period_ms: int
    starts_ms: int
    ends_ms: int
    index: str = ""

    def counter(self) -> Counter:
        """Make the counter of this limit; that of a soft or shadow cap never refuses."""
        limit = self.limit if self.mode == "hard" else NO_LIMIT
        in_hold, measure = self.kind != "requests", MEASURES[self.kind]
        return Counter(self.name, self.shape, measure, limit, self.period_ms, in_hold, self.index)

    def terms(self) -> LimitTerms:
        """Make the limit's part of the record."""
        span_ms = self.period_ms if self.shape == SLIDING else self.ends_ms
        return LimitTerms(
            self.id,
            self.kind,
            self.level,
            self.mode,
            self.limit,
            span_ms,
            self.name,
            self.period_ms,
            bool(self.index),
        )


def applied(
    profile: Profile, terms: LineageTerms, product: str, now_ms: int
) -> tuple[Applied, ...]:
    """List every cap and rate limit that applies to the lineage for this product, caps first.

    Of each kind the plan's come first, then the org's, then those that target the lineage. `now_ms`
    is Unix ms.
    """
    found: list[Applied] = []
    for cap in (*profile.plan.caps, *profile.caps, *terms.caps):
        target = _target(cap, terms.lineage)
        if target is not None and (cap.products is None or product in cap.products):
            found.append(apply_cap(cap, target, profile, now_ms))
    for rate in (*profile.plan.rate_limits, *profile.rate_limits, *terms.rate_limits):
        target = _target(rate, terms.lineage)
        if target is not None:
            found.append(apply_rate_limit(rate, target))
    return tuple(found)


def _target(limit: Cap | RateLimit, lineage: Lineage) -> str | None:
    if limit.level == "org":
        return ""
    here = lineage.at(limit.level)
    if not here or (limit.target is not None and limit.target != here):
        return None
    return here


def apply_cap(cap: Cap, target: str, profile: Profile, now_ms: int) -> Applied:
    """Apply a cap to one target ("" for the org) in the window that contains `now_ms` (Unix ms)."""
    starts_ms, ends_ms = bounds(cap.window, profile.org.timezone, now_ms)
    name = names.join(*_series("c", cap), f"{cap.window}{starts_ms}", target)
    shared = cap.level != "org" and cap.target is None
    return Applied(
        cap.id,
        "cap",
        cap.level,
        cap.mode,
        cap.limit_micros,
        name,
        WINDOW,
        _cap_expiry_ms(cap, profile, ends_ms, now_ms),
        starts_ms,
        ends_ms,
        names.index_of(name) if shared else "",
    )


def _cap_expiry_ms(cap: Cap, profile: Profile, ends_ms: int, now_ms: int) -> int:
    if ends_ms != FOREVER_MS:
        return ends_ms + WINDOW_GRACE_MS
    if cap.level == "run":
        return now_ms + RUN_LIFETIME_MS
    return now_ms + FREE_LIFETIME_MS if profile.is_free else 0


def apply_rate_limit(rate: RateLimit, target: str) -> Applied:
    """Apply a rate limit to one target ("" for the org)."""
    name = names.join(*_series("r", rate), f"{rate.unit}{rate.window_s}", target)
    shape = GAUGE if rate.unit == "concurrent" else SLIDING
    width_ms = 0 if rate.unit == "concurrent" else rate.window_s * 1000
    return Applied(rate.id, rate.unit, rate.level, "hard", rate.limit, name, shape, width_ms, 0, 0)


def _series(letter: str, limit: Cap | RateLimit) -> tuple[str, str, str]:
    # A plan's limit and an org's own may share an id. Both apply, so each needs its own counter.
    return f"{letter}{'p' if limit.from_plan else 'o'}", limit.id, str(limit.generation)


HELD_COUNTER = Counter(HELD, GAUGE, SET_ASIDE, in_hold=True)
"""The gauge that shows an org how much money is on hold."""
FREE_HELD_COUNTER = Counter(FREE_HELD, GAUGE, SET_ASIDE, in_hold=True)


def window_ends(found: tuple[Applied, ...]) -> Iterator[tuple[int, int]]:
    """Yield (start, end) in Unix ms of every fixed window among the limits."""
    return ((a.starts_ms, a.ends_ms) for a in found if a.shape == WINDOW)
