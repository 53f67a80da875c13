"""Windows everywhere and at any time: of the calendar, and sliding ones."""

from __future__ import annotations

from datetime import datetime
from typing import get_args
from zoneinfo import available_timezones

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.counters import SLIDING, rolled, room, used, wait_ms
from gateway.core.entities import WindowKind
from gateway.core.windows import DAY_MS, HOUR_MS, MINUTE_MS, bounds, zone
from tests.unit.core.making import ms

FIRST, LAST = ms("2024-01-01T00:00Z"), ms("2040-01-01T00:00Z")
HALF_HOURS = ("Australia/Lord_Howe", "Australia/LHI")
"""There clocks move by half an hour, so an hour may be cut short by the next one."""
NO_PLACES = ("localtime", "posixrules", "Factory")
ZONES = sorted(available_timezones() - set(NO_PLACES))

zones = st.sampled_from(ZONES)
moments = st.integers(FIRST, LAST)
KINDS: tuple[WindowKind, ...] = ("minute", "hour", "day", "week", "month")
LONGEST = {"minute": MINUTE_MS, "hour": HOUR_MS, "day": 26 * HOUR_MS,
           "week": 7 * DAY_MS + 2 * HOUR_MS, "month": 31 * DAY_MS + 2 * HOUR_MS}  # fmt: skip


def near_changes(name: str, moment: int) -> int:
    """The moment, moved into an hour in which the zone's clock changes, if one is near."""
    where = zone(name)
    offset = datetime.fromtimestamp(moment / 1000, where).utcoffset()
    low, high = moment, moment + 200 * DAY_MS
    if datetime.fromtimestamp(high / 1000, where).utcoffset() == offset:
        return moment
    while high - low > 1:
        middle = (low + high) // 2
        is_same = datetime.fromtimestamp(middle / 1000, where).utcoffset() == offset
        low, high = (middle, high) if is_same else (low, middle)
    return high + moment % (4 * HOUR_MS) - 2 * HOUR_MS


places = st.one_of(
    st.tuples(zones, moments), st.tuples(zones, moments).map(lambda p: (p[0], near_changes(*p)))
)


def test_these_are_all_kinds_of_windows() -> None:
    assert set(get_args(WindowKind)) == {*KINDS, "lifetime"}


@given(places, st.sampled_from(KINDS))
def test_a_moment_lies_in_its_window_which_is_no_longer_than_its_name_says(
    place: tuple[str, int], kind: WindowKind
) -> None:
    name, now_ms = place
    start_ms, end_ms = bounds(kind, name, now_ms)
    assert start_ms <= now_ms < end_ms
    assert end_ms - start_ms <= LONGEST[kind]


@given(places, st.sampled_from(KINDS), st.floats(0, 1))
def test_every_moment_of_a_window_is_in_it_and_the_next_begins_where_it_ends(
    place: tuple[str, int], kind: WindowKind, share: float
) -> None:
    name, now_ms = place
    if kind == "hour" and name in HALF_HOURS:
        return
    start_ms, end_ms = bounds(kind, name, now_ms)
    for moment in (start_ms, start_ms + int(share * (end_ms - start_ms - 1)), end_ms - 1):
        assert bounds(kind, name, moment) == (start_ms, end_ms)
    assert bounds(kind, name, end_ms)[0] == end_ms
    assert bounds(kind, name, start_ms - 1)[1] == start_ms


@given(places)
def test_a_day_is_one_date(place: tuple[str, int]) -> None:
    name, now_ms = place
    start_ms, end_ms = bounds("day", name, now_ms)
    where = zone(name)
    first = datetime.fromtimestamp(start_ms / 1000, where)
    last = datetime.fromtimestamp((end_ms - 1) / 1000, where)
    now = datetime.fromtimestamp(now_ms / 1000, where)
    assert first.date() == now.date() == last.date()
    before = datetime.fromtimestamp((start_ms - 1) / 1000, where)
    assert before.date() < now.date()


@given(places)
def test_weeks_begin_on_monday_and_months_on_the_first(place: tuple[str, int]) -> None:
    name, now_ms = place
    for kind, is_first in (("week", lambda d: d.weekday() == 0), ("month", lambda d: d.day == 1)):
        for edge in bounds(kind, name, now_ms):  # type: ignore[arg-type]  # both are kinds
            assert is_first(datetime.fromtimestamp(edge / 1000, zone(name)))
            assert bounds("day", name, edge)[0] == edge


@given(places)
def test_windows_lie_in_each_other(place: tuple[str, int]) -> None:
    name, now_ms = place
    day, week, month = (bounds(kind, name, now_ms) for kind in ("day", "week", "month"))
    for outer in (week, month):
        assert outer[0] <= day[0] < day[1] <= outer[1]
    if name not in HALF_HOURS:
        hour, minute = bounds("hour", name, now_ms), bounds("minute", name, now_ms)
        assert hour[0] <= minute[0] < minute[1] <= hour[1]


# Sliding windows.

widths = st.sampled_from([1_000, 7_000, 60_000, 3_600_000, 31 * DAY_MS])
counts = st.one_of(st.integers(0, 50), st.integers(0, 10**12))


@given(widths, moments, counts, counts)
def test_a_sliding_window_counts_between_the_newer_bucket_and_both(
    width_ms: int, now_ms: int, first: int, second: int
) -> None:
    assert first <= used(SLIDING, first, second, width_ms, now_ms) <= first + second


@given(widths, moments, counts, counts, st.integers(0, 3 * 31 * DAY_MS))
def test_what_a_sliding_window_counts_only_fades_while_nobody_comes(
    width_ms: int, now_ms: int, first: int, second: int, later: int
) -> None:
    before = used(SLIDING, first, second, width_ms, now_ms)
    value = (now_ms // width_ms, first, second)
    _, current, previous = rolled(value, width_ms, now_ms + later)
    after = used(SLIDING, current, previous, width_ms, now_ms + later)
    assert after <= before
    if later >= 2 * width_ms:
        assert after == 0


@given(
    widths,
    moments,
    st.integers(1, 40),
    st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 40)), max_size=80),
)
def test_nobody_passes_more_than_the_limit_in_a_bucket_nor_twice_it_in_a_width(
    width_ms: int, start_ms: int, limit: int, attempts: list[tuple[int, int]]
) -> None:
    """An estimate: exact for an even stream; a burst never gets more than two limits a width."""
    value, now_ms = None, start_ms
    taken: list[tuple[int, int]] = []
    for pause_ms, amount in attempts:
        now_ms += pause_ms
        bucket, current, before = rolled(value, width_ms, now_ms)
        if used(SLIDING, current, before, width_ms, now_ms) + amount > limit:
            continue
        value = (bucket, current + amount, before)
        taken.append((now_ms, amount))
        assert current + amount <= limit
        in_width = sum(n for at, n in taken if at > now_ms - width_ms)
        assert in_width <= 2 * limit


@given(widths, moments, counts, counts, st.integers(1, 10**12), st.data())
def test_who_waits_as_long_as_told_fits(
    width_ms: int, now_ms: int, first: int, second: int, limit: int, data: st.DataObject
) -> None:
    amount = data.draw(st.integers(0, limit))
    if used(SLIDING, first, second, width_ms, now_ms) + amount <= limit:
        return
    wait = wait_ms(limit, amount, first, second, width_ms, now_ms)
    assert 0 < wait <= 2 * width_ms + 1
    later_ms = now_ms + wait
    _, current, previous = rolled((now_ms // width_ms, first, second), width_ms, later_ms)
    assert used(SLIDING, current, previous, width_ms, later_ms) + amount <= limit


@given(widths, moments, counts, counts, st.integers(1, 10**12))
def test_what_fits_the_room_fits_the_limit_and_one_more_does_not(
    width_ms: int, now_ms: int, first: int, second: int, limit: int
) -> None:
    used_now = used(SLIDING, first, second, width_ms, now_ms)
    left = room(limit, used_now)
    if left:
        assert used_now + left <= limit
    assert used_now + left + 1 > limit
