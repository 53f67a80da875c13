"""Boosted trees as values, in float64, and the walk that defines their score.

A missing value (NaN) goes the way that its node names, as in scikit-learn's histogram boosting
(`sklearn.ensemble.HistGradientBoostingClassifier`). The sums are the same as there: the baseline,
then one leaf of each tree, added in their order.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

LEAF = -1


@dataclass(frozen=True)
class Tree:
    """Nodes by number, as columns; the first is the root, children come after their parents.

    `feature` is the one that a node compares (LEAF: none, the node has a `value`). A value up to
    `threshold` goes `left`; a missing one does if `missing_left`. `cover` is the number of training
    rows that reached the node.
    """

    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    missing_left: tuple[bool, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    value: tuple[float, ...]
    cover: tuple[float, ...] = ()

    def leaf(self, values: Sequence[float]) -> float:
        """Return the value of the leaf that these feature values reach."""
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
        """Return the log-odds of feature values, node by node: slow, and the definition."""
        total = self.baseline
        for tree in self.trees:
            total += tree.leaf(values)
        return total


def probability(raw: float) -> float:
    """Convert log-odds to a probability."""
    try:
        return 1.0 / (1.0 + math.exp(-raw))
    except OverflowError:
        return 0.0


def calibrated(points: Sequence[tuple[float, float]], score: float) -> float:
    """Map a score through rising points, linear between them.

    Without points the score is unchanged; beyond the ends it is that of the end. Source: Zadrozny
    and Elkan, 2002 (isotonic regression).
    """
    if not points:
        return score
    at = bisect_left(points, score, key=lambda point: point[0])
    if at in (0, len(points)):
        return points[min(at, len(points) - 1)][1]
    (low, from_), (high, to) = points[at - 1], points[at]
    return from_ + (to - from_) * ((score - low) / (high - low))
