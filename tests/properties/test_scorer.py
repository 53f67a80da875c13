"""The generated scorer is the forest's walk, and scikit-learn's own answer, to the last bit."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier

from models.artifact import Content, dump, load
from models.errors import ModelError
from models.features import FeatureSpec, Formula
from models.from_sklearn import forest_of
from models.scorer import Scorer, code_of
from models.trees import LEAF, Forest, Tree, calibrated

FEATURES = 4
NUMBERS = st.floats(allow_nan=False)
VALUES = st.lists(st.floats(), min_size=FEATURES, max_size=FEATURES)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Any tree, made by splitting leaves."""
    nodes: list[list[float]] = [[LEAF, 0, False, 0, 0]]
    for _ in range(draw(st.integers(0, 12))):
        leaf = draw(st.sampled_from([n for n, node in enumerate(nodes) if node[0] == LEAF]))
        children = (len(nodes), len(nodes) + 1)
        asks = (draw(st.integers(0, FEATURES - 1)), draw(NUMBERS), draw(st.booleans()))
        nodes[leaf] = [*asks, *children]
        nodes += [[LEAF, 0, False, 0, 0], [LEAF, 0, False, 0, 0]]
    columns = list(zip(*nodes, strict=True))
    leaf = st.floats(-50, 50)
    values = tuple(draw(leaf) if node[0] == LEAF else 0.0 for node in nodes)
    whole = [tuple(int(v) for v in columns[place]) for place in (0, 3, 4)]
    thresholds, missing = tuple(map(float, columns[1])), tuple(map(bool, columns[2]))
    return Tree(whole[0], thresholds, missing, whole[1], whole[2], values)


@settings(max_examples=300, deadline=None)
@given(st.floats(-5, 5), st.lists(trees(), max_size=5), st.lists(VALUES, min_size=1, max_size=5))
def test_the_code_is_the_walk(baseline: float, found: list[Tree], rows: list[list[float]]) -> None:
    forest = Forest(baseline, tuple(found))
    scorer = Scorer(code_of(forest, FEATURES))
    for row in rows:
        assert scorer.raw(*row) == forest.raw(row)
        assert 0 <= scorer.score(row) <= 1


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), unique_by=lambda p: p[0], max_size=9),
    st.lists(st.floats(0, 1), min_size=2, max_size=9),
)
def test_calibration_keeps_the_order_of_scores(
    points: list[tuple[float, float]], scores: list[float]
) -> None:
    xs, ys = sorted(x for x, _ in points), sorted(y for _, y in points)
    line = list(zip(xs, ys, strict=True))
    told = [calibrated(line, score) for score in sorted(scores)]
    assert all(low <= high + 1e-12 for low, high in pairwise(told))
    for x, y in line:
        assert math.isclose(calibrated(line, x), y, abs_tol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_scikit_learn_to_the_last_bit(seed: int) -> None:
    chance = numpy.random.default_rng(seed)
    table = chance.normal(size=(4_000, 6)) * 10.0 ** chance.integers(-3, 4, size=6)
    table[chance.random(table.shape) < 0.1] = math.nan
    whole = numpy.nan_to_num(table)
    odds = whole[:, 0] / 10 + whole[:, 1] * whole[:, 2] + chance.normal(size=len(table))
    fitted = HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=60, max_leaf_nodes=31, random_state=seed
    ).fit(table, odds > numpy.quantile(odds, 0.9))
    known = {f"f{n}": FeatureSpec(f"f{n}", "count", Formula("value", ())) for n in range(6)}
    strange = [[math.inf] * 6, [-math.inf] * 6, [math.nan] * 6, [0.0] * 6, [-0.0, 1e308] * 3]
    model = load(dump(Content(tuple(known), forest_of(fitted)), strange, known), known)
    rows = numpy.vstack([table, numpy.array(strange)])
    theirs = fitted.predict_proba(rows)[:, 1].tolist()
    assert [model.scorer.score(row) for row in rows.tolist()] == theirs


def test_a_classifier_that_a_model_cannot_hold_is_refused() -> None:
    chance = numpy.random.default_rng(0)
    table = chance.integers(0, 3, size=(300, 2)).astype(float)
    three = HistGradientBoostingClassifier(max_iter=2).fit(table, table[:, 0])
    with pytest.raises(ModelError, match="two classes"):
        forest_of(three)
    by_kind = HistGradientBoostingClassifier(max_iter=2, categorical_features=[0])
    with pytest.raises(ModelError, match="category"):
        forest_of(by_kind.fit(table, table[:, 0] > 1))
