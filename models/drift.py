"""Drift of values from their reference histograms, and the precision of scores."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from models.artifact import ReferenceHistogram

LEAST_SHARE = 1e-4
"""Used in place of smaller shares: a share of 0 has no logarithm."""
ALARM = 0.25
"""Stability index above which, by convention, the population is a different one."""
LEAST_VALUES = 500
"""With fewer values an index shows chance more than change."""
SCORE = ""
"""Name of the score among the features."""


def counts_of(spread: ReferenceHistogram, values: Iterable[float]) -> list[int]:
    """Count the values in each bin of a histogram; the last count is of missing ones (NaN)."""
    counts = [0] * len(spread.shares)
    for value in values:
        counts[-1 if math.isnan(value) else bisect_left(spread.edges, value)] += 1
    return counts


def psi(spread: ReferenceHistogram, counts: Sequence[int]) -> float:
    """Compute the population stability index: sum of (now - then) x ln(now / then) over the bins.

    Source: Siddiqi, "Credit Risk Scorecards", 2006. 0 means the same population, 0.1 is
    worth a look, 0.25 means another population.
    """
    whole = sum(counts) or 1
    found = 0.0
    for then, count in zip(spread.shares, counts, strict=True):
        before, now = max(then, LEAST_SHARE), max(count / whole, LEAST_SHARE)
        found += (now - before) * math.log(now / before)
    return found


def drift_of(
    spreads: Mapping[str, ReferenceHistogram], columns: Mapping[str, Sequence[float]]
) -> dict[str, float]:
    """Compute the index of each column that has a histogram and enough values; largest first."""
    found = {
        name: psi(spreads[name], counts_of(spreads[name], values))
        for name, values in columns.items()
        if name in spreads and len(values) >= LEAST_VALUES
    }
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def average_precision(scores: Sequence[float], is_fraud: Sequence[bool]) -> float | None:
    """Return the mean precision at each fraud, by falling score; None without any fraud.

    Equal scores count as one step.
    """
    frauds = sum(is_fraud)
    if not frauds:
        return None
    order = sorted(range(len(scores)), key=lambda n: -scores[n])
    found, seen, hits, at = 0.0, 0, 0, 0
    while at < len(order):
        end, caught = at, 0
        while end < len(order) and scores[order[end]] == scores[order[at]]:
            caught += is_fraud[order[end]]
            end += 1
        seen, hits = end, hits + caught
        found += caught / frauds * (hits / seen)
        at = end
    return found
