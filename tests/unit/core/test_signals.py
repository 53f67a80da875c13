"""Velocity signals: attempts and amounts of the last minute, hour and day, in fixed memory."""

from __future__ import annotations

import pytest

from gateway.core.money import MAX_MICROS
from gateway.core.signals import (
    Signal,
    counted_signal,
    read_signal,
    signal_ends_ms,
    signal_name,
)
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
        ends_ms = signal_ends_ms(MIDNIGHT + into_ms)
        assert ends_ms == MIDNIGHT + 2 * DAY_MS
        assert read_signal(after((into_ms, 10**9)), ends_ms - MINUTE_MS)[5] > 0
        assert read_signal(after((into_ms, 10**9)), ends_ms) == [0] * 6


def test_a_clock_that_goes_back_loses_no_attempt() -> None:
    signal = counted_signal(after((HOUR_MS, 5)), 7, MIDNIGHT + HOUR_MS - 1)
    assert read_signal(signal, MIDNIGHT + HOUR_MS) == [2, 12] * 3
