"""Boosted trees as values: what each node asks, in float64, and the walk that is their meaning.

A missing value (not-a-number) goes the way its node says, as in scikit-learn's histogram boosting
(`sklearn.ensemble.HistGradientBoostingClassifier`), whose sums these are: the baseline, then one
leaf of each tree, added in their order.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

LEAF = -1


@dataclass(frozen=True)
class Tree:
    """Nodes by their number; the first is the root, children stand behind their parents.

    `feature` is what a node asks (LEAF: nothing, it has a `value`), `threshold` up to which a value
    goes `left`; a missing one goes left where `missing_left`. `cover` is how many rows of the
    training came by.
    """

    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    missing_left: tuple[bool, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    value: tuple[float, ...]
    cover: tuple[float, ...] = ()

    def leaf(self, values: Sequence[float]) -> float:
        """What the tree adds for these values of the features."""
        node = 0
        while self.feature[node] != LEAF:
            value, is_left = values[self.feature[node]], self.missing_left[node]
            if not math.isnan(value):
                is_left = value <= self.threshold[node]
            node = self.left[node] if is_left else self.right[node]
        return self.value[node]


@dataclass(frozen=True)
class Forest:
    """Trees whose leaves add up, on top of a baseline, to the log-odds."""

    baseline: float
    trees: tuple[Tree, ...]

    def raw(self, values: Sequence[float]) -> float:
        """The log-odds of these values of the features, node by node: slow, and the meaning."""
        total = self.baseline
        for tree in self.trees:
            total += tree.leaf(values)
        return total


def probability(raw: float) -> float:
    """The probability that log-odds mean."""
    try:
        return 1.0 / (1.0 + math.exp(-raw))
    except OverflowError:
        return 0.0


def calibrated(points: Sequence[tuple[float, float]], score: float) -> float:
    """A score through a rising line of points (isotonic regression; Zadrozny and Elkan, 2002).

    Without points it is what it was; beyond their ends it is that of the end.
    """
    if not points:
        return score
    at = bisect_left(points, score, key=lambda point: point[0])
    if at in (0, len(points)):
        return points[min(at, len(points) - 1)][1]
    (low, from_), (high, to) = points[at - 1], points[at]
    return from_ + (to - from_) * ((score - low) / (high - low))
