"""Drift by a published example, its bounds, and precision as scikit-learn has it."""

from __future__ import annotations

import math
import random

import pytest
from sklearn.metrics import average_precision_score

from models.artifact import ReferenceHistogram
from models.drift import average_precision, counts_of, drift_of, psi

HALVES = ReferenceHistogram((10.0,), (0.5, 0.5, 0.0))


def test_the_same_shares_have_not_moved() -> None:
    assert psi(HALVES, [500, 500, 0]) == pytest.approx(0, abs=1e-12)


def test_an_index_is_the_sum_over_bins_of_differences_and_their_logarithms() -> None:
    expected = (0.2 - 0.5) * math.log(0.2 / 0.5) + (0.8 - 0.5) * math.log(0.8 / 0.5)
    assert psi(HALVES, [200, 800, 0]) == pytest.approx(expected)


def test_what_is_missing_now_and_never_was_is_drift() -> None:
    assert psi(HALVES, [300, 300, 400]) > 0.25


def test_values_lie_where_training_had_them() -> None:
    assert counts_of(HALVES, [1, 10, 10.5, math.nan, math.inf]) == [2, 2, 1]


def test_of_few_values_nothing_is_told() -> None:
    assert drift_of({"a": HALVES}, {"a": [1.0] * 499}) == {}
    assert drift_of({"a": HALVES}, {"a": [1.0] * 500, "b": [1.0] * 500})["a"] > 1


@pytest.mark.parametrize("seed", range(20))
def test_precision_is_that_of_scikit_learn(seed: int) -> None:
    chance = random.Random(seed)
    scores = [round(chance.random(), chance.choice([1, 5])) for _ in range(300)]
    flags = [chance.random() < 0.1 + 0.5 * score for score in scores]
    assert average_precision(scores, flags) == pytest.approx(average_precision_score(flags, scores))


def test_without_fraud_there_is_no_precision() -> None:
    assert average_precision([0.1, 0.2], [False, False]) is None
