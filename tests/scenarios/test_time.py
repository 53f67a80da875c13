"""S12, and what of S5 and S16 happens at one moment: the store's clock, moved by the test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from gateway.core.commands import Ended
from gateway.store.pipeline import parse_url
from tests.gateways import Caller, Gateway, running
from tests.scenarios.books import Books
from tests.scenarios.clocks import Clock
from tests.scenarios.steps import at, cap, codes, funds, version


@pytest.fixture(scope="module")
def own_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of this module's own: its time is not the others'."""
    with running(tmp_path_factory.mktemp("time"), workers=2) as found:
        yield found


@pytest_asyncio.fixture
async def caller(own_gateway: Gateway) -> AsyncIterator[Caller]:
    async with Caller(own_gateway.address) as found:
        await found.prices()
        yield found


@pytest.fixture
def books(own_gateway: Gateway) -> Books:
    return Books(own_gateway)


@pytest_asyncio.fixture
async def clock(own_gateway: Gateway) -> AsyncIterator[Clock]:
    yield Clock(parse_url(own_gateway.store_url).path)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


WINDOWS = [
    # timezone, window, its first moment and the one after its last (UTC), hours between
    ("UTC", "day", "2040-01-31T00:00", "2040-02-01T00:00", 24),
    ("Asia/Shanghai", "day", "2040-03-09T16:00", "2040-03-10T16:00", 24),
    ("Asia/Shanghai", "month", "2040-01-31T16:00", "2040-02-29T16:00", 29 * 24),
    ("Asia/Kolkata", "hour", "2040-03-10T03:30", "2040-03-10T04:30", 1),
    ("Asia/Kathmandu", "minute", "2040-03-10T03:31", "2040-03-10T03:32", 1 / 60),
    # Spring forward: a day of 23 hours, an hour that does not exist, a short week and month.
    ("Europe/Berlin", "day", "2040-03-24T23:00", "2040-03-25T22:00", 23),
    ("Europe/Berlin", "hour", "2040-03-25T00:00", "2040-03-25T01:00", 1),
    ("Europe/Berlin", "hour", "2040-03-25T01:00", "2040-03-25T02:00", 1),
    ("America/New_York", "week", "2040-03-05T05:00", "2040-03-12T04:00", 7 * 24 - 1),
    ("America/New_York", "month", "2040-03-01T05:00", "2040-04-01T04:00", 31 * 24 - 1),
    ("America/Santiago", "day", "2040-09-02T04:00", "2040-09-03T03:00", 23),  # starts at 01:00
    # Fall back: a day of 25 hours, and each of the two hours from 02:00 to 03:00 on its own.
    ("Europe/Berlin", "day", "2040-10-27T22:00", "2040-10-28T23:00", 25),
    ("Europe/Berlin", "hour", "2040-10-28T00:00", "2040-10-28T01:00", 1),
    ("Europe/Berlin", "hour", "2040-10-28T01:00", "2040-10-28T02:00", 1),
    ("America/Havana", "day", "2040-11-04T04:00", "2040-11-05T05:00", 25),  # 00:00 comes twice
    ("Australia/Lord_Howe", "day", "2040-03-31T13:00", "2040-04-01T13:30", 24.5),
]


class TestS12Windows:
    @pytest.mark.parametrize(("timezone", "window", "first", "after", "hours"), WINDOWS)
    async def test_a_cap_resets_at_the_local_end_of_its_window_and_covers_no_more(
        self,
        caller: Caller,
        clock: Clock,
        books: Books,
        org: str,
        timezone: str,
        window: str,
        first: str,
        after: str,
        hours: float,
    ) -> None:
        starts, ends = utc(first), utc(after)
        assert ends - starts == timedelta(hours=hours)
        margin = min(timedelta(minutes=5), (ends - starts) / 3)
        await caller.org(org, 1_000_000, timezone=timezone)
        await cap(caller, org, 100, window=window)

        async def spend(moment: datetime) -> tuple[list[str], float]:
            await clock.runs_from(moment)
            answer = await caller.authorize(org, amount_micros=100, capture=True)
            (limit,) = answer["limits"]
            return codes(answer), at(limit["resets_at"])

        full, free = ["cap_exceeded"], []
        assert await spend(starts - margin) == (free, starts.timestamp())
        assert await spend(starts) == (free, ends.timestamp())
        assert await spend(starts + margin) == (full, ends.timestamp())
        assert await spend(ends - margin) == (full, ends.timestamp())
        codes_after, resets = await spend(ends)
        assert codes_after == free
        assert resets > ends.timestamp()
        # An hour is never more than an hour, nor a minute more than a minute.
        if window in ("hour", "minute"):
            assert resets - ends.timestamp() == 3600 * hours
        await books.agree(caller, org)
        assert await funds(caller, org) == (1_000_000 - 300, 0, 0)

    async def test_a_hold_over_midnight_counts_in_the_window_it_was_made_in(
        self, caller: Caller, clock: Clock, books: Books, org: str
    ) -> None:
        midnight = utc("2040-03-10T16:00")  # in Shanghai
        before, later = midnight - timedelta(minutes=5), midnight + timedelta(minutes=5)
        await caller.org(org, 1000, timezone="Asia/Shanghai")
        await cap(caller, org, 100, "daily", window="day")

        async def room(moment: datetime) -> int:
            await clock.runs_from(moment)
            answer = await caller.authorize(org, amount_micros=0, dry_run=True)
            return answer["limits"][0]["remaining_micros"]

        assert await room(before) == 100
        holds = [
            (await caller.authorize(org, amount_micros=n, hold_ttl_s=7200))["hold"]["id"]
            for n in (40, 30, 20)
        ]
        assert (await room(before), await room(later)) == (10, 100)
        # An extend adds to the window of its hold: there are 10 left in it.
        path = f"/v1/holds/{holds[0]}/extend"
        assert codes(await caller.ok("POST", path, {"amount_micros": 11})) == ["cap_exceeded"]
        assert codes(await caller.ok("POST", path, {"amount_micros": 5})) == []
        assert (await room(later), await room(before)) == (100, 5)
        # So do its ends: a capture, one above the hold, a release.
        await clock.runs_from(later)
        await caller.capture(holds[0], amount_micros=15)
        await caller.capture(holds[1], amount_micros=35)
        await caller.release(holds[2])
        assert (await room(later), await room(before)) == (100, 50)
        await clock.runs_from(later)
        whole = await caller.authorize(org, amount_micros=100, capture=True)
        assert codes(whole) == []
        assert (await room(later), await room(before)) == (0, 50)
        assert await funds(caller, org) == (1000 - 150, 0, 0)
        await caller.reconciled()
        assert books.charges(org) == (3, 150, 0)

    async def test_included_quota_comes_anew_at_local_midnight_and_is_given_once(
        self, caller: Caller, clock: Clock, books: Books, org: str
    ) -> None:
        midnight = utc("2040-04-10T16:00")  # in Shanghai
        included = [{"id": "daily", "amount_micros": 100, "period": "day"}]
        await caller.ok("PUT", f"/v1/plans/{org}", {"rate_card": "default", "included": included})
        await caller.org(org, plan=org, timezone="Asia/Shanghai")
        allowed = []
        for minutes in (-10, -5, 1, 5, 24 * 60 - 1, 24 * 60 + 1):
            await clock.runs_from(midnight + timedelta(minutes=minutes))
            answers = await asyncio.gather(
                *(caller.authorize(org, amount_micros=40, capture=True) for _ in range(4))
            )
            allowed.append(sum(a["decision"] == "allow" for a in answers))
        assert allowed == [2, 0, 2, 0, 0, 2]
        await caller.reconciled()
        assert books.charges(org) == (6, 240, 0)


class TestS5TheSameMillisecond:
    HOLDS = 60

    async def test_a_capture_that_races_expiry_in_its_millisecond_ends_the_hold_once(
        self, caller: Caller, clock: Clock, books: Books, org: str
    ) -> None:
        now = 1000 * (int(time.time()) + 10)
        ends_ms = now + 1000
        await caller.org(org, 100 * self.HOLDS)
        await clock.stands_at(now)
        answers = await asyncio.gather(
            *(caller.authorize(org, amount_micros=100, hold_ttl_s=1) for _ in range(self.HOLDS))
        )
        holds = [a["hold"]["id"] for a in answers]
        assert {at(a["hold"]["expires_at"]) for a in answers} == {ends_ms / 1000}

        # The millisecond before: nothing expires, however long it lasts.
        await clock.stands_at(ends_ms - 1)
        await asyncio.sleep(0.6)
        assert await funds(caller, org) == (0, 100 * self.HOLDS, 0)
        early = await caller.capture(holds[0], amount_micros=60)
        assert early["late"] is False

        third = self.HOLDS // 3
        ended = await self._end_all(caller, clock, holds, ends_ms)
        captured = 60
        for n, (status, answer) in ended.items():
            if n % 5 == 0:
                # Released in time, or expired by then.
                assert (status, answer["status"]) in ((200, "released"), (409, 409)), answer
                assert status == 409 or n <= third, "its time was over"
            else:
                assert (status, answer["captured_micros"]) == (200, 60), answer
                assert answer["shortfall_micros"] == 0
                captured += 60
        late = [a["late"] for s, a in ended.values() if s == 200 and a["status"] == "captured"]
        assert late.count(True) > third

        # The sweep has seen each by now; what was captured stays captured, once.
        await asyncio.sleep(0.6)
        assert await funds(caller, org) == (100 * self.HOLDS - captured, 0, 0)
        for n, hold in enumerate(holds):
            for path, body in (("capture", {"amount_micros": 1}), ("release", {})):
                if path == "release" or n == 0 or n % 5:
                    status, _, _ = await caller.send("POST", f"/v1/holds/{hold}/{path}", body)
                    assert status == 409
        await caller.reconciled()
        standings = books.prefixes(org)
        last = standings[-1]
        assert (last.held, last.captured, last.shortfall) == (0, captured, 0)
        assert books.charges(org) == (captured // 60, captured, 0)
        given_back: dict[str, int] = {}
        for s in standings:
            if isinstance(s.out, Ended):
                hold = s.out.hold_id
                given_back[hold] = given_back.get(hold, 0) + s.out.held
        assert given_back == dict.fromkeys(holds, 100), "each was taken off hold once"

    async def _end_all(
        self, caller: Caller, clock: Clock, holds: list[str], ends_ms: int
    ) -> dict[int, tuple[int, Any]]:
        """Capture four of five and release the fifth, around the millisecond they expire in."""
        third, over = self.HOLDS // 3, asyncio.Event()

        async def finish(n: int) -> tuple[int, Any]:
            if n == third:
                await clock.stands_at(ends_ms)
                over.set()
            if n > third:
                # Some come before the sweep, some with it, some after it.
                await over.wait()
                await asyncio.sleep(0.4 * (n - third) / self.HOLDS)
            path, body = "capture", {"amount_micros": 60}
            if n % 5 == 0:
                path, body = "release", {}
            status, answer, _ = await caller.send("POST", f"/v1/holds/{holds[n]}/{path}", body)
            return status, answer

        numbers = range(1, self.HOLDS)
        return dict(zip(numbers, await asyncio.gather(*map(finish, numbers)), strict=True))

    async def test_money_that_expired_and_went_elsewhere_is_a_shortfall_not_found_twice(
        self, caller: Caller, clock: Clock, books: Books, org: str
    ) -> None:
        now = 1000 * (int(time.time()) + 10)
        await caller.org(org, 1000)
        await clock.stands_at(now)
        asked = [caller.authorize(org, amount_micros=100, hold_ttl_s=1) for _ in range(10)]
        holds = [a["hold"]["id"] for a in await asyncio.gather(*asked)]
        # At the moment of expiry ten captures race ten who want the same money.
        await clock.stands_at(now + 1000)
        late = [caller.capture(hold, amount_micros=100) for hold in holds]
        new = [caller.authorize(org, amount_micros=100, capture=True) for _ in range(10)]
        answers = await asyncio.gather(*late, *new)
        ends, others = answers[:10], answers[10:]
        assert all(end["late"] for end in ends)
        paid = sum(end["captured_micros"] for end in ends)
        elsewhere = sum(100 for a in others if a["decision"] == "allow")
        assert paid + sum(end["shortfall_micros"] for end in ends) == 1000
        assert paid + elsewhere <= 1000
        assert await funds(caller, org) == (1000 - paid - elsewhere, 0, 1000 - paid)
        await caller.reconciled()
        assert min(s.available for s in books.prefixes(org)) >= 0
        assert books.charges(org)[1:] == (paid + elsewhere, 1000 - paid)


class TestS16APriceThatComesIntoEffect:
    async def test_the_version_changes_at_its_moment_and_a_hold_keeps_its_own(
        self, caller: Caller, clock: Clock, books: Books, org: str
    ) -> None:
        change = utc("2050-07-01T00:00")
        await version(caller, org, "v1", "2020-01-01T00:00:00Z", 10)
        await caller.ok("PUT", f"/v1/plans/{org}", {"rate_card": org})
        await caller.org(org, 100_000, plan=org)
        await version(caller, org, "v2", change.isoformat(), 25)
        asked = {"product": "thing", "quantity": {"units": 10}, "hold_ttl_s": 86_400}
        seen = []
        holds = []
        for moment in (change - timedelta(hours=1), change, change + timedelta(hours=1)):
            await clock.runs_from(moment)
            answers = [await caller.authorize(org, **asked) for _ in range(4)]
            seen.append({(a["quote"]["rate_card"], a["quote"]["amount_micros"]) for a in answers})
            holds += [a["hold"]["id"] for a in answers]
        v1, v2 = {(f"{org}@v1", 100)}, {(f"{org}@v2", 250)}
        assert seen == [v1, v2, v2]
        done = [await caller.capture(hold, quantity={"units": 7}) for hold in holds]
        assert [d["captured_micros"] for d in done] == [70] * 4 + [175] * 8
        await caller.reconciled()
        assert books.charges(org) == (12, 4 * 70 + 8 * 175, 0)


async def test_after_all_this_the_whole_ledger_reconciles(caller: Caller) -> None:
    await caller.reconciled()
