"""Windows by columns are what tallies over a log show, of any log; beyond 128 members, too."""

from __future__ import annotations

import random

import numpy as np
import pytest

from gateway.core.log_counters import Running
from gateway.core.velocity import COUNTED, DISTINCT, FIRST, ONE_MORE, VelocityCounter
from models.column_counters import Grouped, age, counted, counted_late, distinct

ROWS, WIDTH_MS = 3_000, 40_000
START_MS = 1_700_000_000_000


@pytest.mark.parametrize("most", [3, 160, 400])
@pytest.mark.parametrize("seed", range(3))
def test_columns_show_what_a_stream_shows(seed: int, most: int) -> None:
    """`most` are the members of a set; a burst meets most of them within a window."""
    chance, running, now_ms = random.Random(seed), Running(), START_MS
    rows, shown = [], []
    for _ in range(ROWS):
        now_ms += chance.choice(
            [0, 1, 20, 90, 600, 39_999, 41_000] if chance.random() < 0.003 else [1]
        )
        who, member, amount = (
            chance.randrange(-1, 2),
            chance.randrange(-1, most),
            chance.randrange(99),
        )
        rows.append((now_ms, who, member, amount))
        name = f"{who}" if who >= 0 else ""
        tallies = [
            VelocityCounter(COUNTED, "acme", f"w/{name}", WIDTH_MS, ONE_MORE),
            VelocityCounter(
                DISTINCT, "acme", f"d/{name}", WIDTH_MS, f"m{member}" if member >= 0 else ""
            ),
            VelocityCounter(FIRST, "acme", f"f/{name}", WIDTH_MS, ONE_MORE),
        ]
        names = ("n", "micros", "members", "known", "age")
        seen = running.meet(running.steps(tallies, names), (amount, True), now_ms)
        shown.append([seen[one] for one in names])
    at_ms, whose, members, amounts = (np.array(c, np.int64) for c in zip(*rows, strict=True))
    by, one = Grouped.of(whose), np.ones(ROWS, np.int64)
    n, micros = counted(by, at_ms, WIDTH_MS, [one, amounts])
    count, known = distinct(by, at_ms, members, WIDTH_MS)
    found = np.column_stack([n, micros, count, known, age(by, at_ms, WIDTH_MS)])
    expected = np.array(shown, float)
    expected[members < 0, 3] = np.nan
    of_somebody = whose >= 0
    assert np.array_equal(found[of_somebody], expected[of_somebody], equal_nan=True)
    assert most < 128 or count.max() == 128


@pytest.mark.parametrize("seed", range(3))
def test_what_is_told_later_counts_when_it_happened(seed: int) -> None:
    chance, running, now_ms = random.Random(seed), Running(), START_MS
    rows, shown = [], []
    for _ in range(ROWS):
        now_ms += chance.choice([0, 1, 900, 9_000])
        who, is_told = chance.randrange(4), chance.random() < 0.1
        at_ms = now_ms - chance.choice([-5, 0, 10_000, 50_000, 100_000]) if is_told else now_ms
        rows.append((now_ms, at_ms, who, int(is_told)))
        tally = VelocityCounter(COUNTED, "acme", f"v/{who}", WIDTH_MS)
        if is_told:
            running.report(tally, min(at_ms, now_ms), 0, now_ms)
        seen = running.meet(running.steps([tally], ("n", "")), (0, True), now_ms)
        shown.append(seen["n"] if not is_told else -1)
    now, at, whose, weight = (np.array(c, np.int64) for c in zip(*rows, strict=True))
    found = counted_late(Grouped.of(whose), now, at, WIDTH_MS, weight)
    reads = weight == 0
    assert np.array_equal(found[reads], np.array(shown, float)[reads])
