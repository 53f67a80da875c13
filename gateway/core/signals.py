"""Velocity signals: attempts and amounts of an entity over sliding windows, in fixed memory."""

from __future__ import annotations

from gateway.core.counters import rolled
from gateway.core.money import MAX_MICROS
from gateway.core.windows import DAY_MS, HOUR_MS, MINUTE_MS

SIGNAL_WINDOWS_MS = (MINUTE_MS, HOUR_MS, DAY_MS)
SIGNAL_BUCKETS = 2
"""How many of its longest buckets a signal lives: a bucket counts until the next one has ended."""
NUMBERS_PER_WINDOW = 4
"""attempts, micros, attempts of the bucket before, micros of the bucket before."""

Signal = tuple[int, ...]
"""The moment of the last attempt, which tells all buckets, then the numbers of each window."""


def signal_name(entity: str) -> str:
    """The cell of an entity's signal."""
    return f"s/{entity}"


def signal_ends_ms(now_ms: int) -> int:
    """When the signal of an entity that was seen now can be forgotten."""
    return now_ms - now_ms % DAY_MS + SIGNAL_BUCKETS * DAY_MS


def _windows(signal: Signal | None, now_ms: int) -> list[tuple[int, int, int, int, int]]:
    found = []
    for i, width_ms in enumerate(SIGNAL_WINDOWS_MS):
        first = 1 + NUMBERS_PER_WINDOW * i
        n, micros, n_before, micros_before = signal[first : first + 4] if signal else (0, 0, 0, 0)
        bucket = signal[0] // width_ms if signal else 0
        _, n, n_before = rolled((bucket, n, n_before), width_ms, now_ms)
        _, micros, micros_before = rolled((bucket, micros, micros_before), width_ms, now_ms)
        found.append((width_ms, n, micros, n_before, micros_before))
    return found


def read_signal(signal: Signal | None, now_ms: int) -> list[int]:
    """Attempts and micros in the last minute, hour and day: six whole numbers.

    The bucket before counts by its overlap, rounded down (an estimate: exact when attempts came
    evenly, off by at most the older bucket's overlapping share).
    """
    numbers = []
    for width_ms, n, micros, n_before, micros_before in _windows(signal, now_ms):
        share = (width_ms - now_ms % width_ms) / width_ms
        numbers += [n + int(n_before * share), micros + int(micros_before * share)]
    return numbers


def counted_signal(signal: Signal | None, amount_micros: int, now_ms: int) -> Signal:
    """The signal after one more attempt of `amount_micros`."""
    numbers = [max(now_ms, signal[0]) if signal else now_ms]
    for _, n, micros, n_before, micros_before in _windows(signal, now_ms):
        numbers += [n + 1, min(MAX_MICROS, micros + amount_micros), n_before, micros_before]
    return tuple(numbers)
