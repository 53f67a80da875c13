"""Contribution of each feature to one score: exact Shapley values of trees.

Source: Lundberg, Erion and Lee, "Consistent Individualized Feature Attribution for Tree Ensembles",
2018, algorithm 2 (path-dependent): where a feature is left out, both ways are followed, each
weighted by the share of training rows that took it. Exact, and too slow for a waiting request.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from models.trees import LEAF, Forest, Tree

_Step = tuple[int, float, float, float]
"""Step on the path to a node: (feature, share without it, follows with it, weight).

The share is that of training rows that would follow the path without the feature; this request
follows it with the feature (1) or not (0); the weight is that of the subsets of that many features.
"""


def expected(forest: Forest) -> float:
    """Return the mean log-odds of the training rows."""
    return forest.baseline + sum(_mean(tree) for tree in forest.trees)


def contributions(forest: Forest, values: Sequence[float]) -> list[float]:
    """Return what each feature adds to `expected`; in sum they give these values' log-odds."""
    found = [0.0] * len(values)
    for tree in forest.trees:
        _follow(tree, values, found, (0, []), (1.0, 1.0, -1))
    return found


def _mean(tree: Tree) -> float:
    whole = tree.cover[0]
    leaves = (n for n, feature in enumerate(tree.feature) if feature == LEAF)
    return sum(tree.value[n] * tree.cover[n] / whole for n in leaves)


def _follow(
    tree: Tree,
    values: Sequence[float],
    found: list[float],
    at: tuple[int, list[_Step]],
    by: tuple[float, float, int],
) -> None:
    """Add a subtree's contributions to `found`.

    `at` is (node, path before it), `by` the step to it: (share without the feature, 1 or 0 with
    it, feature).
    """
    node, before = at
    path = _extended(before, *by)
    if tree.feature[node] == LEAF:
        for place in range(1, len(path)):
            feature, zero, one, _ = path[place]
            weight = sum(step[3] for step in _without(path, place))
            found[feature] += weight * (one - zero) * tree.value[node]
        return
    feature = tree.feature[node]
    value, goes_left = values[feature], tree.missing_left[node]
    if not math.isnan(value):
        goes_left = value <= tree.threshold[node]
    hot, cold = tree.left[node], tree.right[node]
    if not goes_left:
        hot, cold = cold, hot
    zero, one = 1.0, 1.0
    for place in range(1, len(path)):
        if path[place][0] == feature:
            _, zero, one, _ = path[place]
            path = _without(path, place)
            break
    whole = tree.cover[node]
    _follow(tree, values, found, (hot, path), (zero * tree.cover[hot] / whole, one, feature))
    _follow(tree, values, found, (cold, path), (zero * tree.cover[cold] / whole, 0.0, feature))


def _extended(path: list[_Step], zero: float, one: float, feature: int) -> list[_Step]:
    size = len(path)
    weights = [step[3] for step in path] + [1.0 if size == 0 else 0.0]
    for i in range(size - 1, -1, -1):
        weights[i + 1] += one * weights[i] * (i + 1) / (size + 1)
        weights[i] = zero * weights[i] * (size - i) / (size + 1)
    steps = [*path, (feature, zero, one, 0.0)]
    return [(*step[:3], w) for step, w in zip(steps, weights, strict=True)]


def _without(path: list[_Step], place: int) -> list[_Step]:
    size = len(path) - 1
    _, zero, one, _ = path[place]
    weights = [step[3] for step in path]
    following = weights[size]
    for i in range(size - 1, -1, -1):
        if one:
            kept = weights[i]
            weights[i] = following * (size + 1) / ((i + 1) * one)
            following = kept - weights[i] * zero * (size - i) / (size + 1)
        else:
            weights[i] = weights[i] * (size + 1) / (zero * (size - i))
    steps = [*path[:place], *path[place + 1 :]]
    return [(*step[:3], weights[i]) for i, step in enumerate(steps)]
