"""Contributions are Shapley's: compared with their definition, over all subsets of features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from models.shap import contributions, expected
from models.trees import LEAF, Forest, Tree

FEATURES = 4
VALUES = st.lists(
    st.one_of(st.floats(-3, 3), st.just(math.nan)), min_size=FEATURES, max_size=FEATURES
)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Any tree with covers that add up, made by splitting leaves."""
    nodes: list[list[float]] = [[LEAF, 0, False, 0, 0, 0, draw(st.integers(40, 400))]]
    for _ in range(draw(st.integers(0, 9))):
        leaves = [n for n, node in enumerate(nodes) if node[0] == LEAF and node[6] >= 2]
        if not leaves:
            break
        leaf = draw(st.sampled_from(leaves))
        cover = int(nodes[leaf][6])
        left = draw(st.integers(1, cover - 1))
        asks = (draw(st.integers(0, FEATURES - 1)), draw(st.floats(-2, 2)), draw(st.booleans()))
        nodes[leaf] = [*asks, len(nodes), len(nodes) + 1, 0, cover]
        nodes += [[LEAF, 0, False, 0, 0, 0, left], [LEAF, 0, False, 0, 0, 0, cover - left]]
    for node in nodes:
        if node[0] == LEAF:
            node[5] = draw(st.floats(-5, 5))
    feature, threshold, missing, left_of, right_of, value, cover_of = zip(*nodes, strict=True)
    where = (tuple(map(bool, missing)), tuple(map(int, left_of)), tuple(map(int, right_of)))
    asked = (tuple(map(int, feature)), tuple(map(float, threshold)))
    return Tree(*asked, *where, tuple(map(float, value)), tuple(map(float, cover_of)))


def known_only(tree: Tree, values: Sequence[float], known: frozenset[int], node: int = 0) -> float:
    """What a tree says where only some features are known; the others go both ways."""
    feature = tree.feature[node]
    if feature == LEAF:
        return tree.value[node]
    left, right = tree.left[node], tree.right[node]
    if feature in known:
        goes_left = tree.missing_left[node]
        if not math.isnan(values[feature]):
            goes_left = values[feature] <= tree.threshold[node]
        return known_only(tree, values, known, left if goes_left else right)
    parts = ((tree.cover[side], known_only(tree, values, known, side)) for side in (left, right))
    return sum(cover * value for cover, value in parts) / tree.cover[node]


def by_definition(tree: Tree, values: Sequence[float], feature: int) -> float:
    others, total = [f for f in range(FEATURES) if f != feature], 0.0
    for size in range(FEATURES):
        weight = math.factorial(size) * math.factorial(FEATURES - size - 1)
        for some in combinations(others, size):
            known = frozenset(some)
            more = known_only(tree, values, known | {feature})
            total += weight * (more - known_only(tree, values, known))
    return total / math.factorial(FEATURES)


@settings(max_examples=150, deadline=None)
@given(trees(), VALUES)
def test_each_contribution_is_the_mean_over_all_orders_of_features(
    tree: Tree, values: list[float]
) -> None:
    found = contributions(Forest(0.0, (tree,)), values)
    for feature in range(FEATURES):
        assert math.isclose(
            found[feature], by_definition(tree, values, feature), rel_tol=1e-9, abs_tol=1e-9
        )


@settings(max_examples=80, deadline=None)
@given(st.floats(-3, 3), st.lists(trees(), max_size=4), VALUES)
def test_contributions_add_up_to_the_score(
    baseline: float, some: list[Tree], values: list[float]
) -> None:
    forest = Forest(baseline, tuple(some))
    whole = expected(forest) + sum(contributions(forest, values))
    assert math.isclose(whole, forest.raw(values), rel_tol=1e-9, abs_tol=1e-9)
