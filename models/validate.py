"""Checks that a model must pass before it scores anything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from models.errors import ModelError
from models.scorer import Scorer
from models.trees import LEAF, Forest

MOST_TREES, MOST_NODES, DEEPEST = 600, 40_000, 60
"""Bounds of a forest: trees, nodes in all, and depth.

So many trees score in some tens of microseconds and load in milliseconds. Python's parser nests no
deeper than some ninety parentheses.
"""
LEAST_GOLDEN, MOST_GOLDEN = 5, 200
LAST_BITS = 1e-12
"""Relative difference allowed between the exponential functions of two machines."""


def check_forest(forest: Forest, features: int) -> None:
    """Check that each tree is one, within bounds, of existing features. Raises ModelError."""
    nodes = sum(len(tree.feature) for tree in forest.trees)
    if len(forest.trees) > MOST_TREES or nodes > MOST_NODES:
        raise ModelError(f"a model has at most {MOST_TREES} trees of {MOST_NODES} nodes in all")
    for number, tree in enumerate(forest.trees):
        count, depth = len(tree.feature), {0: 1}
        if not count:
            raise ModelError(f"tree {number} has no nodes")
        for node, feature in enumerate(tree.feature):
            if node not in depth or depth[node] > DEEPEST:
                raise ModelError(f"tree {number}: node {node} is out of reach, or too deep")
            if tree.cover[node] <= 0:
                raise ModelError(f"tree {number}: node {node} was never met in training")
            if feature == LEAF:
                continue
            if not 0 <= feature < features:
                raise ModelError(f"tree {number}: node {node} asks for feature {feature}")
            for child in (tree.left[node], tree.right[node]):
                if not node < child < count or child in depth:
                    raise ModelError(f"tree {number}: node {node} has child {child}: no tree")
                depth[child] = depth[node] + 1


def check_calibration(points: Sequence[tuple[float, float]]) -> None:
    """Check that the points rise and stay between 0 and 1. Raises ModelError."""
    rises = all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(points))
    if not rises or not all(0 <= y <= 1 for _, y in points):
        raise ModelError("the calibration must rise from 0 to 1 at most")


def check_golden(
    golden: Sequence[tuple[Sequence[float | None], float, float]], features: int, scorer: Scorer
) -> None:
    """Check that each golden vector (values, log-odds, score) scores as it did. Raises ModelError.

    Log-odds must be equal to the last bit, scores up to LAST_BITS.
    """
    if len(golden) < LEAST_GOLDEN:
        raise ModelError(f"the model has fewer than {LEAST_GOLDEN} golden vectors to prove it")
    if len(golden) > MOST_GOLDEN:
        raise ModelError(f"the model has more than {MOST_GOLDEN} golden vectors")
    for number, (told, was_raw, was_score) in enumerate(golden):
        if len(told) != features:
            raise ModelError(f"golden vector {number} has {len(told)} values")
        values = [math.nan if v is None else v for v in told]
        raw, score = scorer.raw(*values), scorer.score(values)
        if raw != was_raw or not math.isclose(score, was_score, rel_tol=LAST_BITS):
            was = f"it was {was_score!r} ({was_raw!r})"
            raise ModelError(f"golden vector {number} scores {score!r} ({raw!r}), {was}")
