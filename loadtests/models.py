"""What a score costs, beside scikit-learn's own answer to the same question; the two must agree.

And the vector that it is made of, taking a model over, and features by columns and one by one.
"""

from __future__ import annotations

import gc
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy
from sklearn.ensemble import HistGradientBoostingClassifier

from gateway.cli.demo.data import trace
from gateway.flows.risk.compile_process import model_elsewhere
from loadtests.pauses import longest_pause_ms
from loadtests.worlds import Stream
from models.artifact import Content, ReferenceHistogram, TypicalRange, dump
from models.feature_table import matrix
from models.features import FEATURES, Assembler, reads_of
from models.from_sklearn import forest_of
from models.simulate import simulate
from models.world import Size

TREES, LEAVES, WIDTH = 200, 31, 30
ROWS, TRIED = 20_000, 500
ROUNDS, SWAPS = 15, 7
WORLD = Size(days=40, orgs=120, free_orgs=100, leaks=8, resellers=4, farms=2, card_testers=4)


def _us(work: Callable[[Any], object], rows: list[Any]) -> float:
    """Microseconds a row: the median of some rounds."""
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for row in rows:
            work(row)
        found.append((time.perf_counter() - started) / len(rows) * 1e6)
    return statistics.median(found)


def _fitted() -> tuple[HistGradientBoostingClassifier, Any]:
    chance = numpy.random.default_rng(0)
    table = chance.normal(size=(ROWS, WIDTH))
    table[chance.random(table.shape) < 0.05] = math.nan
    known = numpy.nan_to_num(table)
    odds = known[:, 0] + known[:, 1] * known[:, 2] + chance.normal(size=ROWS)
    fitted = HistGradientBoostingClassifier(
        learning_rate=0.05, max_iter=TREES, max_leaf_nodes=LEAVES, early_stopping=False
    ).fit(table, odds > 1.5)
    return fitted, table


def scores() -> str:
    """Print what a score takes, in both ways; the model's text."""
    fitted, table = _fitted()
    names = tuple(spec.name for spec in FEATURES[:WIDTH])
    rows = table[:TRIED].tolist()
    ranges = {name: TypicalRange(-1.0, 1.0, 1 / WIDTH) for name in names}
    spreads = {name: ReferenceHistogram((0.0,), (0.5, 0.5, 0.0)) for name in names}
    content = Content(names, forest_of(fitted), (), {"block": 0.9}, ranges, spreads)
    text = dump(content, rows[:20])
    started = time.perf_counter()
    served = model_elsewhere(text)
    taken_ms = (time.perf_counter() - started) * 1000
    theirs = fitted.predict_proba(table[:TRIED])[:, 1].tolist()
    assert [served.scorer.score(row) for row in rows] == theirs, "the scores differ"
    ours_us = _us(served.scorer.score, rows)
    theirs_us = _us(lambda row: fitted.predict_proba([row]), rows[:5])
    print(
        f"score              {ours_us:.1f} us ({TREES} trees of {LEAVES} leaves, {WIDTH} features)"
    )
    print(f"                   predict_proba says the same in {theirs_us:,.0f} us")
    print(
        f"                   a model of {len(text) / 1e6:.1f} MB is taken over in {taken_ms:.0f} ms"
    )
    return text


def vectors() -> None:
    """Print what the vector takes, of a request of which all is known but a tenth."""
    for count in (WIDTH, len(FEATURES)):
        specs = FEATURES[:count]
        facts: dict[str, Any] = {name: n + 1 for n, name in enumerate(reads_of(specs)) if n % 10}
        spent = _us(Assembler(specs).vector, [facts] * TRIED)
        print(f"vector             {spent:.1f} us ({count} features)")


MEMORY = """
import gc, sys
from pathlib import Path
from gateway.flows.risk.compile_process import (model_elsewhere)
def resident():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
text = sys.stdin.read()
before = resident()
kept = [model_elsewhere(text) for _ in range(4)]
print((resident() - before) / 4)
"""


def swaps(text: str) -> None:
    """Print what taking a model over costs those who are answered meanwhile, and in memory."""
    # In a process that has not had scikit-learn's memory before.
    command = [sys.executable, "-c", MEMORY]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)  # noqa: S603  our own
    print(f"                   {float(done.stdout):.1f} MiB a model that a worker keeps")
    pause_ms = longest_pause_ms(lambda: model_elsewhere(text), SWAPS)
    print(f"                   longest pause of the loop {pause_ms:.1f} ms (median)")


def worlds() -> None:
    """Print how fast features are computed, by columns and one by one, and compare the two."""
    tokens = numpy.array([one.input_tokens + one.output_tokens for one in trace()])
    world = simulate(tokens, WORLD, seed=1)
    events = len(world.log.at_ms)
    started = time.process_time()
    table = matrix(world.log, FEATURES)
    by_columns = events / (time.process_time() - started)
    stream = Stream(world)
    records = stream.records()
    gc.collect()
    started = time.process_time()
    streamed = numpy.array(list(stream.vectors(records)))
    one_by_one = events / (time.process_time() - started)
    same = (streamed == table) | (numpy.isnan(streamed) & numpy.isnan(table))
    assert same.all(), "the features differ"
    print(f"features           {by_columns:,.0f} events/s by columns, {one_by_one:,.0f} one by one")
    print(f"                   {table.size:,} values of {events:,} events are the same, bit by bit")


def main() -> None:
    """Print all of it."""
    text = scores()
    vectors()
    swaps(text)
    worlds()


if __name__ == "__main__":
    main()
