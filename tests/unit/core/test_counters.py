"""Counters: what they hold, when they refuse, how much room is left, how long to wait."""

from __future__ import annotations

import pytest

from gateway.core.counters import GAUGE, SLIDING, WINDOW, rolled, room, used, wait_ms

MINUTE = 60_000
START = 29_000_000 * MINUTE
"""The first moment of a bucket of a minute."""


@pytest.mark.parametrize(
    ("shape", "first", "second", "into_ms", "holds"),
    [
        (WINDOW, 70, 30, 0, 100),  # used and held count alike
        (WINDOW, 70, 30, 59_999, 100),
        (GAUGE, 3, 0, 0, 3),
        # The older bucket counts by the share of it that the sliding window still covers.
        (SLIDING, 10, 40, 0, 50),
        (SLIDING, 10, 40, 15_000, 40),
        (SLIDING, 10, 40, 30_000, 30),
        (SLIDING, 10, 40, 45_000, 20),
        (SLIDING, 0, 60, 59_000, 1),
        (SLIDING, 10, 0, 30_000, 10),
    ],
)
def test_what_a_counter_holds(
    shape: int, first: int, second: int, into_ms: int, holds: float
) -> None:
    assert used(shape, first, second, MINUTE, START + into_ms) == holds


@pytest.mark.parametrize(
    ("limit", "used_now", "left"),
    [
        (100, 0, 100),
        (100, 99.0, 1),
        (100, 99.5, 0),
        (100, 100, 0),
        (100, 250, 0),  # never negative: captures may go over
        (0, 0, 0),
        (100, -5, 105),
        (2**53 - 1, 0, 2**53 - 1),
    ],
)
def test_the_room_below_a_limit(limit: int, used_now: float, left: int) -> None:
    assert room(limit, used_now) == left


@pytest.mark.parametrize(
    ("value", "buckets_later", "now_and_before"),
    [
        (None, 0, (0, 0)),
        ((0, 7, 3), 0, (7, 3)),  # the same bucket
        ((0, 7, 3), 1, (0, 7)),  # the next: what was now is before
        ((0, 7, 3), 2, (0, 0)),  # long ago
        ((0, 7, 3), 900, (0, 0)),
    ],
)
def test_a_sliding_counter_rolls_with_its_buckets(
    value: tuple[int, int, int] | None, buckets_later: int, now_and_before: tuple[int, int]
) -> None:
    bucket = START // MINUTE
    stored = (bucket + value[0], *value[1:]) if value else None
    now_ms = START + buckets_later * MINUTE + 17
    assert rolled(stored, MINUTE, now_ms) == (bucket + buckets_later, *now_and_before)


@pytest.mark.parametrize(
    ("limit", "amount", "first", "second", "into_ms", "longest_ms"),
    [
        (10, 1, 0, 20, 0, MINUTE),  # the older bucket fades within this one
        (10, 1, 0, 20, 29_000, 31_000),
        (10, 1, 9, 20, 59_999, MINUTE),
        (10, 1, 10, 0, 0, 2 * MINUTE),  # this bucket has to become the older one and fade
        (10, 1, 10, 0, 59_999, MINUTE),
        (10, 10, 10, 0, 0, 2 * MINUTE + 1),  # it has to be gone altogether
        (10, 10, 1, 1, 30_000, 2 * MINUTE),
        (10, 1, 500, 500, 30_000, 2 * MINUTE),  # corrected upwards at a capture
        (2**53 - 1, 1, 2**53 - 1, 0, 1, 2 * MINUTE),
    ],
)
def test_who_waits_as_long_as_told_fits(
    limit: int, amount: int, first: int, second: int, into_ms: int, longest_ms: int
) -> None:
    now_ms = START + into_ms
    assert used(SLIDING, first, second, MINUTE, now_ms) + amount > limit, "it fits at once"
    wait = wait_ms(limit, amount, first, second, MINUTE, now_ms)
    assert 0 < wait <= longest_ms
    later_ms = now_ms + wait
    _, current, before = rolled((now_ms // MINUTE, first, second), MINUTE, later_ms)
    assert used(SLIDING, current, before, MINUTE, later_ms) + amount <= limit


@pytest.mark.parametrize(("limit", "amount"), [(0, 1), (10, 11)])
def test_what_can_never_fit_is_told_to_come_back_in_the_next_bucket(
    limit: int, amount: int
) -> None:
    assert wait_ms(limit, amount, 5, 5, MINUTE, START + 20_000) == 40_000
