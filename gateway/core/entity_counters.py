"""Signals: attempts and amounts of an entity over sliding windows, in fixed memory.

Three windows are always counted. Rules declare others; each of those is counted from the rule
change that declared it.

A window is two buckets, the current one and the one before. So an entity takes the same memory
whatever its traffic is; the price is that a reading is an estimate, which `overlapped` describes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.core import names
from gateway.core.counters import rolled
from gateway.core.money import MAX_MICROS
from gateway.core.windows import DAY_MS, HOUR_MS, MINUTE_MS

SIGNAL_WINDOWS_MS = (MINUTE_MS, HOUR_MS, DAY_MS)
SIGNAL_BUCKETS = 2
"""Life of a signal, in its longest buckets: a bucket counts until the next one has ended."""
NUMBERS_PER_WINDOW = 4
"""Attempts, micros, attempts of the bucket before, micros of the bucket before."""

FIXED = 1 + NUMBERS_PER_WINDOW * len(SIGNAL_WINDOWS_MS)
DECLARED = 2 + NUMBERS_PER_WINDOW

Signal = tuple[int, ...]
"""The time of the last attempt (Unix ms), then the numbers of each fixed window.

That time gives the buckets of all windows. Each declared window adds the rule change since which it
is counted, its width (ms), and its numbers.
"""
Windows = tuple[int, ...]
"""Declared windows: of each the rule change since which it is counted, and its width (ms)."""


Numbers = tuple[int, int, int, int]
"""The numbers of a window: attempts and micros, and those of the bucket before."""


def overlapped(numbers: Numbers, width_ms: int, now_ms: int) -> tuple[int, int]:
    """Estimate attempts and micros in the last `width_ms`.

    The bucket before counts by its overlap with the window, rounded down. The estimate is exact
    when attempts came evenly; it is off by at most the older bucket's overlapping share.
    """
    n, micros, n_before, micros_before = numbers
    share = (width_ms - now_ms % width_ms) / width_ms
    return n + int(n_before * share), micros + int(micros_before * share)


def with_past(
    numbers: Numbers, buckets: Mapping[int, tuple[int, int]], here: int
) -> Numbers | None:
    """Add past attempts and micros to a window's numbers; None if there are none to add.

    `buckets` maps a bucket's number to attempts and micros; `here` is the current bucket's number.
    """
    more, earlier = buckets.get(here, (0, 0)), buckets.get(here - 1, (0, 0))
    if not (more[0] or earlier[0]):
        return None
    n, micros, n_before, micros_before = numbers
    return (
        n + more[0],
        min(MAX_MICROS, micros + more[1]),
        n_before + earlier[0],
        min(MAX_MICROS, micros_before + earlier[1]),
    )


def signal_name(entity: str) -> str:
    """Name the cell of an entity's signal."""
    return f"s{names.SEPARATOR}{entity}"


def signal_ends_ms(signal: Signal, now_ms: int) -> int:
    """Compute when the signal of an entity that was seen now may be deleted, in Unix ms."""
    widths = (DAY_MS, *signal[FIXED + 1 :: DECLARED])
    return max(now_ms - now_ms % width_ms + SIGNAL_BUCKETS * width_ms for width_ms in widths)


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
    """Read attempts and micros in the last minute, hour and day: six integers."""
    found: list[int] = []
    for window in _windows(signal, now_ms):
        found += overlapped(window[1:], window[0], now_ms)
    return found


def read_windows(signal: Signal | None, windows: Windows, now_ms: int) -> list[int]:
    """Read attempts and micros in each declared window."""
    known = _declared(signal, now_ms)
    found: list[int] = []
    for place in _pairs(windows):
        found += overlapped(known.get(place, (0, 0, 0, 0)), place[1], now_ms)
    return found


def counted_signal(
    signal: Signal | None,
    amount_micros: int,
    now_ms: int,
    windows: Windows = (),
    version: int = 0,
) -> Signal:
    """Count one more attempt of `amount_micros` in a signal, and in the declared windows.

    `version` is a rule change that every worker knows. A window that this change or an earlier one
    declared, and that is not in `windows`, is dropped. A window of a later change stays, because
    other workers may declare it.
    """
    numbers = [max(now_ms, signal[0]) if signal else now_ms]
    for _, n, micros, n_before, micros_before in _windows(signal, now_ms):
        numbers += [n + 1, min(MAX_MICROS, micros + amount_micros), n_before, micros_before]
    known = _declared(signal, now_ms)
    for place in _pairs(windows):
        n, micros, *before = known.pop(place, (0, 0, 0, 0))
        numbers += [*place, n + 1, min(MAX_MICROS, micros + amount_micros), *before]
    for place, found in known.items():
        if place[0] > version and any(found):
            numbers += [*place, *found]
    return tuple(numbers)


def backfilled_signal(
    signal: Signal | None,
    window: tuple[int, int],
    buckets: Mapping[int, tuple[int, int]],
    now_ms: int,
) -> Signal:
    """Add to a signal what happened before a window was declared.

    `window` is the change since which it is counted, and its width (ms). `buckets` maps a bucket's
    number to attempts and micros; all of it happened before the entity's last attempt.
    """
    found = signal or (now_ms, *[0] * (FIXED - 1))
    at_ms, width_ms = found[0], window[1]
    known = _declared(found, at_ms)
    warm = with_past(known.get(window, (0, 0, 0, 0)), buckets, at_ms // width_ms)
    if warm is None:
        return found
    known[window] = warm
    return (*found[:FIXED], *(number for one in known.items() for number in (*one[0], *one[1])))


def _pairs(windows: Windows) -> Iterator[tuple[int, int]]:
    return zip(windows[::2], windows[1::2], strict=True)


def _declared(signal: Signal | None, now_ms: int) -> dict[tuple[int, int], Numbers]:
    """Return the numbers of each declared window as of now, by change and width."""
    if signal is None:
        return {}
    known = {}
    for at in range(FIXED, len(signal), DECLARED):
        since, width_ms, n, micros, n_before, micros_before = signal[at : at + DECLARED]
        bucket = signal[0] // width_ms
        _, n, n_before = rolled((bucket, n, n_before), width_ms, now_ms)
        _, micros, micros_before = rolled((bucket, micros, micros_before), width_ms, now_ms)
        known[since, width_ms] = (n, micros, n_before, micros_before)
    return known
