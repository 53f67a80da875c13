"""Calendar windows in an org's timezone, daylight saving included."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from gateway.core.entities import WindowKind

FOREVER_MS = 2**53 - 1
"""The end of a window that never ends."""

SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Return the timezone of that name.

    Raises `zoneinfo.ZoneInfoNotFoundError` or ValueError.
    """
    return ZoneInfo(name)


def bounds(kind: WindowKind, timezone: str, now_ms: int) -> tuple[int, int]:
    """Compute start (included) and end (excluded) in Unix ms of the window that holds `now_ms`.

    Weeks start on Monday. A repeated local hour is two windows of an hour each, and a day lasts
    from local midnight to local midnight, whatever its length.
    """
    if kind == "lifetime":
        return 0, FOREVER_MS
    local = datetime.fromtimestamp(now_ms / 1000, zone(timezone))
    if kind in ("minute", "hour"):
        into_ms = local.second * SECOND_MS + now_ms % SECOND_MS
        length_ms = MINUTE_MS
        if kind == "hour":
            into_ms += local.minute * MINUTE_MS
            length_ms = HOUR_MS
        return now_ms - into_ms, now_ms - into_ms + length_ms
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    first, after = _days(kind, midnight)
    return round(first.timestamp() * 1000), round(after.timestamp() * 1000)


def _days(kind: WindowKind, midnight: datetime) -> tuple[datetime, datetime]:
    # Wall-clock arithmetic: adding a timedelta to an aware datetime keeps the local time.
    if kind == "day":
        return midnight, midnight + timedelta(days=1)
    if kind == "week":
        monday = midnight - timedelta(days=midnight.weekday())
        return monday, monday + timedelta(days=7)
    if kind == "month":
        first = midnight.replace(day=1)
        return first, (first + timedelta(days=32)).replace(day=1)
    raise AssertionError(f"{kind} is no window of days")
