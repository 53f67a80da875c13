"""Velocity counters by columns: what each of many requests reads, vectorised.

Rows come in the order in which they were counted. Entities are integer codes (-1: none), times are
Unix ms. Each function computes for a whole table, to the last bit, what
`gateway.core.entity_counters` and `gateway.core.velocity` compute row by row; a property test
compares them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]
Real = NDArray[np.float64]
Mask = NDArray[np.bool_]
MOST_DISTINCT = 128
"""Distinct counts are exact up to this many members and saturate there."""


@dataclass(frozen=True)
class Grouped:
    """Rows sorted by entity, in their order; made once for all windows of the entity.

    `order` has the row numbers in sorted order, `codes` their entities, and `starts`, for each
    sorted place, the place at which its entity begins.
    """

    codes: Whole
    order: Whole
    starts: Whole

    @classmethod
    def of(cls, codes: Whole) -> Grouped:
        """Group the rows of these codes."""
        order = np.argsort(codes, kind="stable")
        return cls(codes[order], order, _starts(codes[order]))

    def back(self, values: NDArray[Any]) -> NDArray[Any]:
        """Put values in sorted order back into the order of the rows."""
        found = np.empty_like(values)
        found[self.order] = values
        return found


def _starts(*keys: NDArray[Any]) -> Whole:
    """Return, for each place, the place at which its run of equal keys begins."""
    places = np.arange(len(keys[0]))
    is_new = np.ones(len(places), bool)
    if len(places):
        is_new[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return np.maximum.accumulate(np.where(is_new, places, 0))


def counted(by: Grouped, at_ms: Whole, width_ms: int, weights: Sequence[Whole]) -> list[Real]:
    """Sum each weight in the window before each row, from two fixed buckets.

    The older bucket counts by its overlap with the window, rounded down.
    """
    times = at_ms[by.order]
    bucket = times // width_ms
    into = times - bucket * width_ms
    first = _starts(by.codes, bucket)
    share = (width_ms - into) / width_ms
    before = np.maximum(first - 1, 0)
    follows = (first > by.starts) & (bucket[before] == bucket - 1)
    found = []
    for weight in weights:
        total = np.concatenate([[0], np.cumsum(weight[by.order])])
        here = total[:-1] - total[first]
        earlier = np.where(follows, total[first] - total[first[before]], 0)
        found.append(by.back(here + np.floor(earlier * share)))
    return found


def counted_late(by: Grouped, now_ms: Whole, at_ms: Whole, width_ms: int, weight: Whole) -> Real:
    """Sum as `counted` does, for events of time `at_ms` that were reported later, at `now_ms`.

    Rows of no weight only read. Since readers are many and events few, each reader looks its
    buckets up by binary search.
    """
    codes, found = by.back(by.codes), np.zeros(len(now_ms))
    events = np.flatnonzero((weight != 0) & (codes >= 0))
    is_told_of = np.zeros(int(codes.max(initial=0)) + 2, bool)
    is_told_of[codes[events]] = True
    readers = np.flatnonzero(is_told_of[codes])
    told_in = np.minimum(at_ms, now_ms)[events] // width_ms
    read_in = now_ms[readers] // width_ms
    span, size = int(now_ms.max(initial=0)) // width_ms + 2, len(now_ms)
    place = codes[events] * span + told_in
    order = np.argsort(place, kind="stable")
    runs = place[order] * size + events[order]
    total = np.concatenate([[0], np.cumsum(weight[events[order]])])
    here = (codes[readers] * span + read_in) * size
    first, last = np.searchsorted(runs, here), np.searchsorted(runs, here + readers)
    before = here - size
    first_before = np.searchsorted(runs, before)
    last_before = np.searchsorted(runs, before + readers)
    share = (width_ms - now_ms[readers] % width_ms) / width_ms
    earlier = np.floor((total[last_before] - total[first_before]) * share)
    found[readers] = total[last] - total[first] + earlier
    return found


def distinct(by: Grouped, at_ms: Whole, members: Whole, width_ms: int) -> tuple[Real, Real]:
    """Count an entity's distinct members in the window before each row, and flag known ones.

    Returns the count, and 1 where the row's own member is among them (0 where not). Rows without a
    member (-1) only read; their flag is NaN.
    """
    times, of = at_ms[by.order], members[by.order]
    places = np.arange(len(times))
    pairs = np.lexsort((places, of, by.codes))
    follows = np.zeros(len(times), bool)
    follows[1:] = (np.diff(by.codes[pairs]) == 0) & (np.diff(of[pairs]) == 0)
    none = len(times)
    later, earlier = np.full(len(times), none), np.full(len(times), -1)
    later[pairs[:-1]] = np.where(follows[1:], pairs[1:], none)
    earlier[pairs[1:]] = np.where(follows[1:], pairs[:-1], -1)
    span = int(times.max(initial=0)) + width_ms + 1
    ranks = np.cumsum(by.starts == places) * span
    ends = np.searchsorted(ranks + times, ranks + times + width_ms)
    changes = np.zeros(len(times) + 2, np.int64)
    is_met = of >= 0
    stays = is_met & (np.minimum(later + 1, ends) > places + 1)
    np.add.at(changes, places[stays] + 1, 1)
    np.add.at(changes, np.minimum(later + 1, ends)[stays], -1)
    count = np.cumsum(changes)[: len(times)]
    known = (earlier >= 0) & (times < times[np.maximum(earlier, 0)] + width_ms)
    for place in np.flatnonzero(known & (count >= MOST_DISTINCT)):
        # The set is full and keeps the latest members: with so many others since, this one is out.
        since = of[earlier[place] + 1 : place]
        known[place] = len(np.unique(since[since >= 0])) < MOST_DISTINCT
    met = np.where(is_met, known, np.nan)
    return by.back(np.minimum(count, MOST_DISTINCT).astype(float)), by.back(met)


def age(by: Grouped, at_ms: Whole, width_ms: int) -> Real:
    """Return for how many ms an entity has been active, without a pause as long as the window.

    The age is at most the window.
    """
    times = at_ms[by.order]
    pauses = np.zeros(len(times), np.int64)
    pauses[1:] = np.diff(times) >= width_ms
    first = _starts(by.codes, np.cumsum(pauses))
    return by.back(np.minimum(times - times[first], width_ms).astype(float))


def trailing(
    by: Grouped, at_ms: Whole, values: Real, width_ms: int, delay_ms: int = 0
) -> tuple[Real, Real]:
    """Count an entity's rows and sum their values in (now - width, now], its own row included.

    The window is exact; `delay_ms` shifts all of it into the past. Source: Fraud Detection
    Handbook, chapter 3.
    """
    times = at_ms[by.order]
    places = np.arange(len(times))
    span = int(times.max(initial=0)) + width_ms + delay_ms + 1
    ranks = np.cumsum(by.starts == places) * 2 * span
    line = ranks + times
    total = np.concatenate([[0.0], np.cumsum(values[by.order])])
    last = np.searchsorted(line, line - delay_ms, side="right")
    first = np.searchsorted(line, line - delay_ms - width_ms, side="right")
    # Clip to the entity's own rows: a window before its first row would reach the previous entity.
    first, last = np.maximum(first, by.starts), np.maximum(last, by.starts)
    return by.back((last - first).astype(float)), by.back(total[last] - total[first])
