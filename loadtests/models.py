"""What a score costs, beside scikit-learn's own answer to the same question; the two must agree."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable

import numpy
from sklearn.ensemble import HistGradientBoostingClassifier

from models.artifact import Content, dump, load
from models.boosting import forest_of
from models.features import FEATURES as KNOWN

TREES, LEAVES, FEATURES = 200, 31, 30
ROWS, TRIED = 20_000, 500
ROUNDS = 15


def _us(work: Callable[[list[float]], object], rows: list[list[float]]) -> float:
    """Microseconds a row: the median of some rounds."""
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for row in rows:
            work(row)
        found.append((time.perf_counter() - started) / len(rows) * 1e6)
    return statistics.median(found)


def main() -> None:
    """Train a forest, make a model of it, and print what each takes for one row."""
    chance = numpy.random.default_rng(0)
    table = chance.normal(size=(ROWS, FEATURES))
    table[chance.random(table.shape) < 0.05] = math.nan
    known = numpy.nan_to_num(table)
    odds = known[:, 0] + known[:, 1] * known[:, 2] + chance.normal(size=ROWS)
    fitted = HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=TREES, max_leaf_nodes=LEAVES, early_stopping=False
    ).fit(table, odds > 1.5)
    names = tuple(spec.name for spec in KNOWN[:FEATURES])
    rows = table[:TRIED].tolist()
    text = dump(Content(names, forest_of(fitted)), rows[:20])
    started = time.perf_counter()
    model = load(text)
    loaded_ms = (time.perf_counter() - started) * 1000
    theirs = fitted.predict_proba(table[:TRIED])[:, 1].tolist()
    assert [model.scorer.score(row) for row in rows] == theirs, "the scores differ"
    ours_us = _us(model.scorer.score, rows)
    theirs_us = _us(lambda row: fitted.predict_proba([row]), rows[:5])
    print(
        f"score              {ours_us:.1f} us ({TREES} trees of {LEAVES} leaves, {FEATURES} facts)"
    )
    print(f"                   predict_proba says the same in {theirs_us:,.0f} us")
    size = f"{len(text) / 1e6:.1f} MB"
    print(f"                   a model of {size}, loaded and proved in {loaded_ms:.0f} ms")


if __name__ == "__main__":
    main()
