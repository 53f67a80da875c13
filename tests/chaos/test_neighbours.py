"""No org waits for another's load; a busy store is no dead one; what is shed leaves no trace."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.store.library import build
from gateway.store.pipeline import Pipeline, parse_url
from tests.gateways import Caller, Gateway, running

SLOW_CLOCK = """
local function clock_ms()
  local time = redis.call('TIME')
  for i = 1, 150000 do end
  return time[1] * 1000 + math.floor(time[2] / 1000)
end"""
"""Each decision takes some milliseconds of the store: capacity is the same on every machine."""
CALLERS = 60


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose store is slow, with the queue that is shipped."""
    queue = {"queue_target_ms": 0, "queue_deadline_ms": 1000}
    with running(tmp_path_factory.mktemp("slow"), **queue) as gateway:

        async def prepare() -> None:
            async with Caller(gateway.address) as caller:
                await caller.prices()
                for org in ("noisy", "quiet", "batch"):
                    await caller.org(org, 10**12)
                    await caller.authorize(org)
            pipeline = Pipeline(parse_url(gateway.store_url), deadline_s=10)
            await pipeline.call("FUNCTION", "LOAD", "REPLACE", build(SLOW_CLOCK).source)
            await pipeline.close()

        asyncio.run(prepare())
        yield gateway


def asks(org: str) -> dict[str, Any]:
    return {"subject": {"org": org}, "product": "cent", "amount_micros": 1, "capture": True}


class Flood:
    """Callers of one org that ask as fast as they are answered, until it is over."""

    def __init__(self, caller: Caller, org: str) -> None:
        self.heard: Counter[str] = Counter()
        self._caller, self._org = caller, org
        self._is_over = asyncio.Event()
        self._tasks = [asyncio.create_task(self._ask()) for _ in range(CALLERS)]

    async def _ask(self) -> None:
        while not self._is_over.is_set():
            answer = await self._caller.ok("POST", "/v1/authorize", asks(self._org))
            reasons = answer["reasons"]
            self.heard[reasons[0]["code"] if reasons else "allow"] += 1
            if reasons:
                assert (answer["status_hint"], answer["retry_after_s"]) == (503, 1)

    async def until(self, code: str, count: int) -> None:
        while self.heard[code] < count:  # noqa: ASYNC110  many tasks raise the count
            await asyncio.sleep(0.01)

    async def end(self) -> None:
        self._is_over.set()
        await asyncio.gather(*self._tasks)


async def used(caller: Caller, org: str) -> int:
    """What was captured, by the ledger."""
    await caller.reconciled()
    rows = (await caller.ok("GET", f"/v1/orgs/{org}/usage?group_by="))["rows"]
    return sum(row["captured_micros"] for row in rows)


async def test_a_flood_is_shed_and_a_quiet_org_beside_it_never(slow: Gateway) -> None:
    async with Caller(slow.address) as caller:
        before = await used(caller, "noisy")
        flood = Flood(caller, "noisy")
        await flood.until("overloaded", 50)
        for _ in range(60):
            answer = await caller.ok("POST", "/v1/authorize", asks("quiet"))
            assert answer["decision"] == "allow", answer
        await flood.end()
        assert set(flood.heard) == {"allow", "overloaded"}, "a busy store is no dead one"
        assert await used(caller, "noisy") - before == flood.heard["allow"]


async def test_ends_of_holds_are_let_in_before_new_requests(slow: Gateway) -> None:
    async with Caller(slow.address) as caller:
        holds = [
            (await caller.authorize("quiet", amount_micros=1, quantity=None))["hold"]["id"]
            for _ in range(20)
        ]
        flood = Flood(caller, "quiet")
        await flood.until("overloaded", 50)
        for hold in holds:
            assert (await caller.capture(hold, amount_micros=1))["captured_micros"] == 1
        await flood.end()


async def test_batches_are_worked_off_whole_beside_others(slow: Gateway) -> None:
    async with Caller(slow.address) as caller:
        body = {"requests": [asks("batch")] * 100}
        batches = [
            asyncio.create_task(caller.ok("POST", "/v1/authorize/batch", body)) for _ in range(4)
        ]
        for _ in range(20):
            assert (await caller.ok("POST", "/v1/authorize", asks("quiet")))["decision"] == "allow"
        for batch in batches:
            answers = (await batch)["results"]
            assert {a["decision"] for a in answers} == {"allow"}, "none is shed for its size"


async def test_what_is_shed_is_not_kept_under_its_key(slow: Gateway) -> None:
    async with Caller(slow.address) as caller:
        flood = Flood(caller, "noisy")
        await flood.until("overloaded", 20)
        shed: list[str] = []
        for turn in range(50):
            keys = [f"shed-{turn}-{n}" for n in range(20)]
            ask = [caller.send("POST", "/v1/authorize", asks("noisy"), key) for key in keys]
            first = [answer for _, answer, _ in await asyncio.gather(*ask)]
            shed += [k for k, a in zip(keys, first, strict=True) if a["decision"] == "deny"]
            if shed:
                break
        await flood.end()
        assert shed
        for key in shed:
            _, answer, headers = await caller.send("POST", "/v1/authorize", asks("noisy"), key)
            assert answer["decision"] == "allow"
            assert "Idempotent-Replayed" not in headers


async def test_new_free_users_are_refused_where_the_store_is_nearly_full(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        async with Caller(gateway.address) as caller:
            await caller.prices()
            await caller.org("acme", 10**9)
            known = {"subject": {"org": "regular"}, "product": "cent", "amount_micros": 1}
            assert (await caller.ok("POST", "/v1/authorize", known))["decision"] == "allow"
            store = Pipeline(parse_url(gateway.store_url), deadline_s=10)
            info = (await store.call("INFO", "memory")).decode()
            used_bytes = int(info.partition("used_memory:")[2].split()[0])
            await store.call("CONFIG", "SET", "maxmemory", int(used_bytes / 0.92))
            for n in range(200):
                stranger = known | {"subject": {"org": f"stranger-{n}"}}
                answer = await caller.ok("POST", "/v1/authorize", stranger)
                if answer["decision"] == "deny":
                    break
                await asyncio.sleep(0.02)
            assert (answer["reasons"][0]["code"], answer["retry_after_s"]) == ("overloaded", 60)
            for ask in (known, known | {"subject": {"org": "acme"}}):
                answer = await caller.ok("POST", "/v1/authorize", ask)
                assert answer["decision"] == "allow", answer
            await store.close()
