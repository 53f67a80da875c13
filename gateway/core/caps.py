"""Turn caps and rate limits into counters: those that apply to a lineage, each in its window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from gateway.core import names
from gateway.core.counters import GAUGE, NO_LIMIT, SET_ASIDE, SLIDING, UNITS, WINDOW, Counter
from gateway.core.entities import Cap, Level, Lineage, LineageTerms, Mode, Profile, RateLimit
from gateway.core.limits import LIMIT_KINDS, LimitKind, label_of
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

CAP_LETTER, RATE_LETTER = "c", "r"
"""First letters of the names of counters, of caps and of rate limits."""
HELD = "held"
"""The name of the gauge of all money that an org has on hold."""
FREE_HELD = "held.free"
"""The name of the same gauge of a free user.

Its money is booked on another account, so the gauge must not mix with the org's own.
"""


Measured = tuple[tuple[str, ...], ...]
"""The sets of units that limits of a request count: each has a share of its own, from UNITS on."""


class Applied(Struct, frozen=True):
    """A cap or rate limit that applies to a lineage, in its current window.

    `kind` is a name of LIMIT_KINDS. `starts_ms` and `ends_ms` bound the window (Unix ms); `ends_ms`
    is 0 where a limit has none. `period_ms` and `index` are the counter's.
    """

    id: str
    kind: str
    level: Level
    mode: Mode
    limit: int
    name: str
    period_ms: int
    starts_ms: int
    ends_ms: int
    index: str = ""
    units: tuple[str, ...] = ()

    @property
    def row(self) -> LimitKind:
        """Its row in the table of kinds."""
        return LIMIT_KINDS[self.kind]

    @property
    def shape(self) -> int:
        """The shape of its counter."""
        return self.row.shape

    def measure(self, measured: Measured) -> int:
        """Return which share of a request it counts, where these sets of units are counted."""
        return UNITS + measured.index(self.units) if self.units else self.row.measure

    def counter(self, measured: Measured = ()) -> Counter:
        """Make the counter of this limit; that of a soft or shadow cap never refuses."""
        row, limit = self.row, self.limit if self.mode == "hard" else NO_LIMIT
        return Counter(
            self.name,
            row.shape,
            self.measure(measured),
            limit,
            self.period_ms,
            row.is_kept_by_hold,
            self.index,
            label_of(self.units),
        )

    def terms(self, measured: Measured = ()) -> LimitTerms:
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
            self.units,
            self.measure(measured) if self.units else 0,
        )


def measured_by(found: Iterable[Applied]) -> Measured:
    """List the sets of units that some limits count, each once, in the order of the limits."""
    return tuple(dict.fromkeys(one.units for one in found if one.units))


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
    kind, limit = ("unit_cap", cap.limit) if cap.units else ("cap", cap.limit_micros)
    starts_ms = ends_ms = 0
    if cap.window is None:
        kind, window, period_ms = f"rolling_{kind}", f"any{cap.window_s}", cap.window_s * 1000
    else:
        starts_ms, ends_ms = bounds(cap.window, profile.org.timezone, now_ms)
        window = f"{cap.window}{starts_ms}"
        period_ms = _cap_expiry_ms(cap, profile, ends_ms, now_ms)
    if cap.units:
        # Another measure counts in another counter.
        window = names.join(window, label_of(cap.units))
    name = names.join(*_series(CAP_LETTER, cap), window, target)
    shared = cap.level != "org" and cap.target is None
    return Applied(
        cap.id,
        kind,
        cap.level,
        cap.mode,
        limit,
        name,
        period_ms,
        starts_ms,
        ends_ms,
        names.index_of(name) if shared else "",
        cap.units,
    )


def _cap_expiry_ms(cap: Cap, profile: Profile, ends_ms: int, now_ms: int) -> int:
    if ends_ms != FOREVER_MS:
        return ends_ms + WINDOW_GRACE_MS
    if cap.level == "run":
        return now_ms + RUN_LIFETIME_MS
    return now_ms + FREE_LIFETIME_MS if profile.is_free else 0


def apply_rate_limit(rate: RateLimit, target: str) -> Applied:
    """Apply a rate limit to one target ("" for the org)."""
    window = f"{rate.unit}{rate.window_s}"
    if rate.units:
        # Another measure counts in another counter, also where a unit has the name of a kind.
        window = names.join(window, label_of(rate.units))
    name = names.join(*_series(RATE_LETTER, rate), window, target)
    width_ms = 0 if LIMIT_KINDS[rate.unit].shape == GAUGE else rate.window_s * 1000
    return Applied(
        rate.id,
        rate.unit,
        rate.level,
        "hard",
        rate.limit,
        name,
        width_ms,
        0,
        0,
        units=rate.units,
    )


def _series(letter: str, limit: Cap | RateLimit) -> tuple[str, str, str]:
    # A plan's limit and an org's own may share an id. Both apply, so each needs its own counter.
    return f"{letter}{'p' if limit.from_plan else 'o'}", limit.id, str(limit.generation)


def is_cap(name: str) -> bool:
    """Return whether a counter of this name is a cap's, not a rate limit's."""
    return name.startswith(CAP_LETTER)


HELD_COUNTER = Counter(HELD, GAUGE, SET_ASIDE, in_hold=True)
"""The gauge that shows an org how much money is on hold."""
FREE_HELD_COUNTER = Counter(FREE_HELD, GAUGE, SET_ASIDE, in_hold=True)


def window_ends(found: tuple[Applied, ...]) -> Iterator[tuple[int, int]]:
    """Yield (start, end) in Unix ms of every fixed window among the limits."""
    return ((a.starts_ms, a.ends_ms) for a in found if a.shape == WINDOW)
