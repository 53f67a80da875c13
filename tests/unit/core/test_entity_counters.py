"""Velocity signals: attempts and amounts of the last minute, hour and day, in fixed memory."""

from __future__ import annotations

import pytest

from gateway.core.entity_counters import (
    Signal,
    backfilled_signal,
    counted_signal,
    read_signal,
    read_windows,
    signal_ends_ms,
    signal_name,
)
from gateway.core.money import MAX_MICROS
from gateway.core.windows import DAY_MS, HOUR_MS, MINUTE_MS
from tests.unit.core.making import ms

MIDNIGHT = ms("2026-11-22T00:00Z")
"""Where all three buckets begin."""


def after(*attempts: tuple[int, int]) -> Signal | None:
    """The signal after attempts (ms into the day, micros)."""
    signal = None
    for into_ms, micros in attempts:
        signal = counted_signal(signal, micros, MIDNIGHT + into_ms)
    return signal


@pytest.mark.parametrize(
    ("attempts", "now_ms", "seen"),
    [
        ((), 0, [0, 0, 0, 0, 0, 0]),
        (((0, 5),), 0, [1, 5, 1, 5, 1, 5]),
        (((0, 5), (0, 7)), 59_999, [2, 12, 2, 12, 2, 12]),
        # A minute later the older bucket counts by its overlap, rounded down.
        (((0, 5), (0, 7)), MINUTE_MS, [2, 12, 2, 12, 2, 12]),
        (((0, 5), (0, 7)), MINUTE_MS + 30_000, [1, 6, 2, 12, 2, 12]),
        (((0, 5), (0, 7)), MINUTE_MS + 59_999, [0, 0, 2, 12, 2, 12]),
        (((0, 5), (0, 7)), 2 * MINUTE_MS, [0, 0, 2, 12, 2, 12]),
        (((0, 8),), HOUR_MS + HOUR_MS // 4, [0, 0, 0, 6, 1, 8]),
        (((0, 8),), DAY_MS + DAY_MS // 2, [0, 0, 0, 0, 0, 4]),
        (((0, 8),), 2 * DAY_MS, [0, 0, 0, 0, 0, 0]),
        (((0, 8), (MINUTE_MS, 1)), MINUTE_MS + 30_000, [1, 5, 2, 9, 2, 9]),
    ],
)
def test_what_a_signal_shows(
    attempts: tuple[tuple[int, int], ...], now_ms: int, seen: list[int]
) -> None:
    assert read_signal(after(*attempts), MIDNIGHT + now_ms) == seen


def test_a_signal_takes_fixed_memory() -> None:
    busy = after(*((i * 997, i) for i in range(500)))
    assert busy is not None
    assert len(busy) == 13


def test_a_sum_stays_a_number_that_lua_can_hold() -> None:
    full = after((0, MAX_MICROS), (0, MAX_MICROS))
    assert read_signal(full, MIDNIGHT) == [2, MAX_MICROS] * 3


def test_an_attempt_of_nothing_is_an_attempt() -> None:
    assert read_signal(after((0, 0)), MIDNIGHT)[:2] == [1, 0]


def test_a_signal_s_cell_begins_unlike_any_other() -> None:
    assert signal_name("u/u_1") == "s/u/u_1"


def test_a_signal_lives_until_its_longest_window_counts_no_more() -> None:
    for into_ms in (0, 1, DAY_MS - 1):
        ends_ms = signal_ends_ms(after((into_ms, 1)), MIDNIGHT + into_ms)
        assert ends_ms == MIDNIGHT + 2 * DAY_MS
        assert read_signal(after((into_ms, 10**9)), ends_ms - MINUTE_MS)[5] > 0
        assert read_signal(after((into_ms, 10**9)), ends_ms) == [0] * 6


def test_a_clock_that_goes_back_loses_no_attempt() -> None:
    signal = counted_signal(after((HOUR_MS, 5)), 7, MIDNIGHT + HOUR_MS - 1)
    assert read_signal(signal, MIDNIGHT + HOUR_MS) == [2, 12] * 3


TEN = 600_000
DECLARED = (7, TEN, 8, 3 * DAY_MS)


def declared(*attempts: tuple[int, int], windows: tuple[int, ...] = DECLARED) -> Signal:
    """The signal after attempts (ms into the day, micros), all counted in declared windows."""
    signal = None
    for into_ms, micros in attempts:
        signal = counted_signal(signal, micros, MIDNIGHT + into_ms, windows)
    assert signal is not None
    return signal


def test_declared_windows_are_counted_beside_the_three() -> None:
    signal = declared((0, 10), (TEN // 2, 20), (TEN, 30))
    assert read_signal(signal, MIDNIGHT + TEN)[2:] == [3, 60] * 2
    assert read_windows(signal, DECLARED, MIDNIGHT + TEN) == [3, 60, 3, 60]
    assert read_windows(signal, DECLARED, MIDNIGHT + TEN + TEN // 2) == [2, 45, 3, 60]
    assert read_windows(signal, DECLARED, MIDNIGHT + 3 * TEN) == [0, 0, 3, 60]


def test_a_window_is_known_by_the_change_that_brought_it() -> None:
    signal = declared((0, 10))
    assert read_windows(signal, (9, TEN), MIDNIGHT) == [0, 0]
    assert read_windows(None, DECLARED, MIDNIGHT) == [0, 0] * 2


def test_what_is_declared_no_longer_is_gone_and_what_others_declare_stays() -> None:
    signal = counted_signal(declared((0, 10)), 5, MIDNIGHT + 1, version=7)
    assert read_windows(signal, DECLARED, MIDNIGHT + 1) == [0, 0, 1, 10]
    assert len(counted_signal(signal, 5, MIDNIGHT + 1, version=8)) == 13


def test_what_stays_does_so_until_it_counts_no_more() -> None:
    signal = counted_signal(declared((0, 10)), 5, MIDNIGHT + 1)
    assert read_windows(signal, DECLARED, MIDNIGHT + 1) == [1, 10] * 2
    later = counted_signal(signal, 5, MIDNIGHT + 2 * TEN)
    assert read_windows(later, DECLARED, MIDNIGHT + 2 * TEN) == [0, 0, 1, 10]
    assert len(later) < len(signal)


def test_what_happened_before_is_added_by_its_bucket() -> None:
    signal, here = declared((TEN, 10)), (MIDNIGHT + TEN) // TEN
    buckets = {here: (2, 20), here - 1: (4, 40), here - 2: (8, 80)}
    warm = backfilled_signal(signal, (7, TEN), buckets, MIDNIGHT + TEN)
    assert read_windows(warm, (7, TEN), MIDNIGHT + TEN) == [7, 70]
    assert read_signal(warm, MIDNIGHT + TEN) == read_signal(signal, MIDNIGHT + TEN)
    fresh = backfilled_signal(None, (7, TEN), buckets, MIDNIGHT + TEN)
    assert read_windows(fresh, (7, TEN), MIDNIGHT + TEN) == [6, 60]
    assert backfilled_signal(signal, (7, TEN), {here - 2: (8, 80)}, MIDNIGHT + TEN) == signal


def test_a_signal_lives_as_long_as_its_widest_window_counts() -> None:
    signal = declared((0, 10**6), windows=(8, 30 * DAY_MS))
    ends_ms = signal_ends_ms(signal, MIDNIGHT)
    assert read_windows(signal, (8, 30 * DAY_MS), ends_ms - DAY_MS) != [0, 0]
    assert read_windows(signal, (8, 30 * DAY_MS), ends_ms) == [0, 0]
