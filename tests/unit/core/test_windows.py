"""Calendar windows: a table of local clocks. Times are written as people there would read them."""

from __future__ import annotations

from zoneinfo import ZoneInfoNotFoundError

import pytest

from gateway.core.entities import WindowKind
from gateway.core.windows import FOREVER_MS, HOUR_MS, MINUTE_MS, bounds, zone
from tests.unit.core.making import ms

PLAIN = [
    # zone, kind, a moment, start, end
    ("UTC", "minute", "2026-11-22T12:00:59.999Z", "2026-11-22T12:00Z", "2026-11-22T12:01Z"),
    ("UTC", "minute", "2026-11-22T12:01:00.000Z", "2026-11-22T12:01Z", "2026-11-22T12:02Z"),
    ("UTC", "hour", "2026-11-22T12:59:59.999Z", "2026-11-22T12:00Z", "2026-11-22T13:00Z"),
    ("UTC", "day", "2026-11-22T00:00:00.000Z", "2026-11-22T00:00Z", "2026-11-23T00:00Z"),
    ("UTC", "day", "2026-11-22T23:59:59.999Z", "2026-11-22T00:00Z", "2026-11-23T00:00Z"),
    # Weeks start on Monday; 22 November 2026 is a Sunday.
    ("UTC", "week", "2026-11-22T23:59:59.999Z", "2026-11-16T00:00Z", "2026-11-23T00:00Z"),
    ("UTC", "week", "2026-11-23T00:00:00.000Z", "2026-11-23T00:00Z", "2026-11-30T00:00Z"),
    ("UTC", "week", "2027-01-01T12:00:00.000Z", "2026-12-28T00:00Z", "2027-01-04T00:00Z"),
    ("UTC", "month", "2026-11-30T23:59:59.999Z", "2026-11-01T00:00Z", "2026-12-01T00:00Z"),
    ("UTC", "month", "2026-12-31T12:00:00.000Z", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
    ("UTC", "month", "2027-01-31T12:00:00.000Z", "2027-01-01T00:00Z", "2027-02-01T00:00Z"),
    ("UTC", "month", "2027-02-28T12:00:00.000Z", "2027-02-01T00:00Z", "2027-03-01T00:00Z"),
    ("UTC", "month", "2028-02-29T12:00:00.000Z", "2028-02-01T00:00Z", "2028-03-01T00:00Z"),
    # Shanghai: the day changes at local midnight, 16:00 in UTC.
    ("Asia/Shanghai", "day", "2026-11-22T23:59:59.999+08:00", "2026-11-22T00:00+08:00",
     "2026-11-23T00:00+08:00"),
    ("Asia/Shanghai", "day", "2026-11-22T16:00:00.000Z", "2026-11-23T00:00+08:00",
     "2026-11-24T00:00+08:00"),
    ("Asia/Shanghai", "day", "2026-11-22T15:59:59.999Z", "2026-11-21T16:00Z", "2026-11-22T16:00Z"),
    ("Asia/Shanghai", "week", "2026-11-22T16:00:00.000Z", "2026-11-23T00:00+08:00",
     "2026-11-30T00:00+08:00"),
    ("Asia/Shanghai", "month", "2026-11-30T15:59:59.999Z", "2026-11-01T00:00+08:00",
     "2026-12-01T00:00+08:00"),
    ("Asia/Shanghai", "hour", "2026-11-22T12:30:00.000Z", "2026-11-22T20:00+08:00",
     "2026-11-22T21:00+08:00"),
    # Where clocks are half an hour or three quarters off, so are hours.
    ("Asia/Kolkata", "hour", "2026-11-22T12:29:59.999Z", "2026-11-22T17:00+05:30",
     "2026-11-22T18:00+05:30"),
    ("Asia/Kolkata", "hour", "2026-11-22T12:30:00.000Z", "2026-11-22T12:30Z", "2026-11-22T13:30Z"),
    ("Asia/Kolkata", "minute", "2026-11-22T12:30:00.000Z", "2026-11-22T12:30Z",
     "2026-11-22T12:31Z"),
    ("Asia/Kolkata", "day", "2026-11-22T18:30:00.000Z", "2026-11-23T00:00+05:30",
     "2026-11-24T00:00+05:30"),
    ("Asia/Kathmandu", "hour", "2026-11-22T12:14:59.999Z", "2026-11-22T17:00+05:45",
     "2026-11-22T18:00+05:45"),
    ("Asia/Kathmandu", "hour", "2026-11-22T12:15:00.000Z", "2026-11-22T18:00+05:45",
     "2026-11-22T19:00+05:45"),
    # The far ends of the map.
    ("Pacific/Kiritimati", "day", "2026-11-22T10:00:00.000Z", "2026-11-23T00:00+14:00",
     "2026-11-24T00:00+14:00"),
    ("Pacific/Pago_Pago", "day", "2026-11-22T10:59:59.999Z", "2026-11-21T00:00-11:00",
     "2026-11-22T00:00-11:00"),
    ("Pacific/Pago_Pago", "month", "2026-12-01T10:00:00.000Z", "2026-11-01T00:00-11:00",
     "2026-12-01T00:00-11:00"),
]  # fmt: skip

DAYLIGHT_SAVING = [
    # Berlin, 29 March: 02:00 becomes 03:00, the day has 23 hours.
    ("Europe/Berlin", "day", "2026-03-29T01:59+01:00", "2026-03-29T00:00+01:00",
     "2026-03-30T00:00+02:00"),
    ("Europe/Berlin", "day", "2026-03-29T03:00+02:00", "2026-03-29T00:00+01:00",
     "2026-03-30T00:00+02:00"),
    ("Europe/Berlin", "hour", "2026-03-29T01:59:59.999+01:00", "2026-03-29T01:00+01:00",
     "2026-03-29T03:00+02:00"),
    ("Europe/Berlin", "hour", "2026-03-29T03:00+02:00", "2026-03-29T03:00+02:00",
     "2026-03-29T04:00+02:00"),
    ("Europe/Berlin", "week", "2026-03-29T12:00+02:00", "2026-03-23T00:00+01:00",
     "2026-03-30T00:00+02:00"),
    ("Europe/Berlin", "month", "2026-03-01T12:00+01:00", "2026-03-01T00:00+01:00",
     "2026-04-01T00:00+02:00"),
    # Berlin, 25 October: 02:00 to 03:00 comes twice and is two windows; the day has 25 hours.
    ("Europe/Berlin", "day", "2026-10-25T02:30+02:00", "2026-10-25T00:00+02:00",
     "2026-10-26T00:00+01:00"),
    ("Europe/Berlin", "day", "2026-10-25T02:30+01:00", "2026-10-25T00:00+02:00",
     "2026-10-26T00:00+01:00"),
    ("Europe/Berlin", "hour", "2026-10-25T02:30+02:00", "2026-10-25T02:00+02:00",
     "2026-10-25T03:00+02:00"),
    ("Europe/Berlin", "hour", "2026-10-25T02:30+01:00", "2026-10-25T02:00+01:00",
     "2026-10-25T03:00+01:00"),
    ("Europe/Berlin", "month", "2026-10-31T12:00+01:00", "2026-10-01T00:00+02:00",
     "2026-11-01T00:00+01:00"),
    # New York, both ways.
    ("America/New_York", "day", "2026-03-08T12:00-04:00", "2026-03-08T00:00-05:00",
     "2026-03-09T00:00-04:00"),
    ("America/New_York", "day", "2026-11-01T12:00-05:00", "2026-11-01T00:00-04:00",
     "2026-11-02T00:00-05:00"),
    ("America/New_York", "week", "2026-11-01T01:30-04:00", "2026-10-26T00:00-04:00",
     "2026-11-02T00:00-05:00"),
    # Lord Howe moves by half an hour.
    ("Australia/Lord_Howe", "day", "2026-04-05T12:00+10:30", "2026-04-05T00:00+11:00",
     "2026-04-06T00:00+10:30"),
    ("Australia/Lord_Howe", "day", "2026-10-04T12:00+11:00", "2026-10-04T00:00+10:30",
     "2026-10-05T00:00+11:00"),
    ("Australia/Lord_Howe", "hour", "2026-04-05T03:10+10:30", "2026-04-05T03:00+10:30",
     "2026-04-05T04:00+10:30"),
    # Beirut: on 29 March midnight does not exist, the day begins at 01:00.
    ("Asia/Beirut", "day", "2026-03-29T12:00+03:00", "2026-03-29T01:00+03:00",
     "2026-03-30T00:00+03:00"),
    ("Asia/Beirut", "day", "2026-03-28T12:00+02:00", "2026-03-28T00:00+02:00",
     "2026-03-29T01:00+03:00"),
    # Havana: on 1 November midnight comes twice, the day begins with the first.
    ("America/Havana", "day", "2026-11-01T00:30-04:00", "2026-11-01T00:00-04:00",
     "2026-11-02T00:00-05:00"),
    ("America/Havana", "day", "2026-11-01T00:30-05:00", "2026-11-01T00:00-04:00",
     "2026-11-02T00:00-05:00"),
    ("America/Havana", "month", "2026-11-01T00:30-05:00", "2026-11-01T00:00-04:00",
     "2026-12-01T00:00-05:00"),
    # Santiago: on 4 April the last hour before midnight comes twice.
    ("America/Santiago", "day", "2026-04-04T23:30-03:00", "2026-04-04T00:00-03:00",
     "2026-04-05T00:00-04:00"),
    ("America/Santiago", "day", "2026-04-04T23:30-04:00", "2026-04-04T00:00-03:00",
     "2026-04-05T00:00-04:00"),
    # Samoa skipped 30 December 2011 altogether.
    ("Pacific/Apia", "day", "2011-12-29T12:00-10:00", "2011-12-29T00:00-10:00",
     "2011-12-31T00:00+14:00"),
]  # fmt: skip


@pytest.mark.parametrize(("timezone", "kind", "moment", "start", "end"), PLAIN + DAYLIGHT_SAVING)
def test_a_moment_lies_in_its_window(
    timezone: str, kind: WindowKind, moment: str, start: str, end: str
) -> None:
    assert bounds(kind, timezone, ms(moment)) == (ms(start), ms(end))


@pytest.mark.parametrize(
    ("timezone", "noon", "hours"),
    [
        ("UTC", "2026-03-29T12:00Z", 24),
        ("Asia/Shanghai", "2026-03-29T12:00+08:00", 24),
        ("Europe/Berlin", "2026-03-29T12:00+02:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00+01:00", 25),
        ("Australia/Lord_Howe", "2026-10-04T12:00+11:00", 23.5),
        ("Australia/Lord_Howe", "2026-04-05T12:00+10:30", 24.5),
        ("Asia/Beirut", "2026-03-29T12:00+03:00", 23),
        ("America/Havana", "2026-11-01T12:00-05:00", 25),
        ("Antarctica/Troll", "2026-03-29T12:00+02:00", 22),  # it moves by two hours
        ("Antarctica/Troll", "2026-10-25T12:00+00:00", 26),
    ],
)
def test_a_day_lasts_from_midnight_to_midnight_whatever_its_length(
    timezone: str, noon: str, hours: float
) -> None:
    start_ms, end_ms = bounds("day", timezone, ms(noon))
    assert (end_ms - start_ms) / HOUR_MS == hours


@pytest.mark.parametrize("moment", ["1970-01-01T00:00Z", "2026-11-22T12:00Z", "2999-12-31T23:59Z"])
@pytest.mark.parametrize("timezone", ["UTC", "Asia/Shanghai"])
def test_a_lifetime_never_ends(timezone: str, moment: str) -> None:
    assert bounds("lifetime", timezone, ms(moment)) == (0, FOREVER_MS)


@pytest.mark.parametrize(
    "moment",
    [
        "2026-04-05T01:10+11:00",
        "2026-04-05T01:40+11:00",
        "2026-04-05T01:40+10:30",
        "2026-04-05T02:10+10:30",
        "2026-10-04T01:10+10:30",
        "2026-10-04T01:59+10:30",
        "2026-10-04T02:40+11:00",
        "2026-10-04T03:10+11:00",
    ],
)
def test_no_hour_covers_more_than_an_hour_where_clocks_move_by_half_of_one(moment: str) -> None:
    """Windows that end are never entered again: what one counts, no other of its name does."""
    start_ms, end_ms = bounds("hour", "Australia/Lord_Howe", ms(moment))
    assert start_ms <= ms(moment) < end_ms <= start_ms + HOUR_MS
    assert bounds("hour", "Australia/Lord_Howe", end_ms)[1] > end_ms
    assert bounds("hour", "Australia/Lord_Howe", end_ms)[0] != start_ms


def test_a_daily_cap_in_shanghai_resets_in_the_millisecond_of_local_midnight() -> None:
    midnight = ms("2026-11-23T00:00+08:00")
    before, after = (bounds("day", "Asia/Shanghai", t) for t in (midnight - 1, midnight))
    assert before[1] == after[0] == midnight


@pytest.mark.parametrize("timezone", ["Europe/Berlin", "Asia/Kolkata", "America/Havana"])
def test_a_minute_is_a_minute_everywhere(timezone: str) -> None:
    for moment in ("2026-03-29T00:59:59.999Z", "2026-03-29T01:00Z", "2026-11-01T05:30:01Z"):
        start_ms, end_ms = bounds("minute", timezone, ms(moment))
        assert start_ms == ms(moment) // MINUTE_MS * MINUTE_MS
        assert end_ms == start_ms + MINUTE_MS


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "/etc/passwd", "UTC\0"])
def test_a_timezone_nobody_knows_is_refused(name: str) -> None:
    with pytest.raises((ZoneInfoNotFoundError, ValueError)):
        zone(name)
