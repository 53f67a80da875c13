"""Velocity signals: attempts and amounts of an entity over sliding windows, in fixed memory."""

from __future__ import annotations

from gateway.core.counters import rolled
from gateway.core.money import MAX_MICROS
from gateway.core.windows import DAY_MS, HOUR_MS, MINUTE_MS

SIGNAL_WINDOWS_MS = (MINUTE_MS, HOUR_MS, DAY_MS)
SIGNAL_TTL_MS = 2 * DAY_MS
NUMBERS_PER_WINDOW = 5
"""bucket, attempts, micros, attempts of the bucket before, micros of the bucket before."""

Signal = tuple[int, ...]


def signal_name(entity: str) -> str:
    """The cell of an entity's signal."""
    return f"s/{entity}"


def _windows(signal: Signal | None, now_ms: int) -> list[tuple[int, int, int, int, int, int]]:
    found = []
    for i, width_ms in enumerate(SIGNAL_WINDOWS_MS):
        part = signal[5 * i : 5 * i + 5] if signal else (0, 0, 0, 0, 0)
        bucket, n, n_before = rolled((part[0], part[1], part[3]), width_ms, now_ms)
        _, micros, micros_before = rolled((part[0], part[2], part[4]), width_ms, now_ms)
        found.append((width_ms, bucket, n, micros, n_before, micros_before))
    return found


def read_signal(signal: Signal | None, now_ms: int) -> list[int]:
    """Attempts and micros in the last minute, hour and day: six whole numbers.

    The bucket before counts by its overlap, rounded down (an estimate: exact when attempts came
    evenly, off by at most the older bucket's overlapping share).
    """
    numbers = []
    for width_ms, _, n, micros, n_before, micros_before in _windows(signal, now_ms):
        share = (width_ms - now_ms % width_ms) / width_ms
        numbers += [n + int(n_before * share), micros + int(micros_before * share)]
    return numbers


def counted_signal(signal: Signal | None, amount_micros: int, now_ms: int) -> Signal:
    """The signal after one more attempt of `amount_micros`."""
    numbers: list[int] = []
    for _, bucket, n, micros, n_before, micros_before in _windows(signal, now_ms):
        numbers += [bucket, n + 1, min(MAX_MICROS, micros + amount_micros), n_before, micros_before]
    return tuple(numbers)
