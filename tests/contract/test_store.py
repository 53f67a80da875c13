"""One suite, every store: what any store must do, told as stories."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from msgspec.structs import replace

from gateway.core import ids
from gateway.core.commands import (
    Finish,
    GrantOrder,
    Idempotency,
    Mode,
    Plan,
    PlanTemplate,
    Reply,
    Status,
    Version,
    VoidOrder,
)
from gateway.core.counters import (
    GAUGE,
    MONEY,
    SET_ASIDE,
    SLOT,
    WINDOW,
    Counter,
    Source,
    shares_of,
)
from gateway.core.entities import Grant
from gateway.core.holds import HoldStatus, Step
from gateway.store import keys
from gateway.store.memory import MemoryStore
from gateway.store.port import TOLD, UNDONE
from tests.stores import ClockedRedis

START_MS = 4_000_000_000_000
ORG = "acme"
GRANT = Source("g/g1", perishable=True)
CAP = Counter("co/day/0/day0/", WINDOW, MONEY, 10_000, START_MS + 10**9, True)
SLOTS = Counter("ro/slots/0/concurrent60/", GAUGE, SLOT, 3, 0, True)
HELD = Counter("held", GAUGE, SET_ASIDE, in_hold=True)
ALL_SHARDS = range(keys.SHARDS)


class Bench:
    """A store under a clock of its own, and the orders these stories need."""

    def __init__(self, store: MemoryStore | ClockedRedis) -> None:
        self.store = store
        self.now_ms = START_MS
        self.serial = 0

    async def tick(self, ms: int) -> None:
        self.now_ms += ms
        if isinstance(self.store, ClockedRedis):
            await self.store.set_time(self.now_ms)

    def plan(self, amount: int, mode: Mode = Mode.HOLD, ttl_ms: int = 60_000) -> Plan:
        self.serial += 1
        hold_id = ids.HOLD + ids.make(self.now_ms, keys.shard_of(ORG), self.serial)
        versions = (Version("org", ORG, 0),)
        counters, sources = (CAP, SLOTS, HELD), (GRANT,)
        of = b"of acme: "
        needs = PlanTemplate(ORG, ORG, "USD", "gpt", counters, sources, versions, (), 0, 2**53, of)
        shares = shares_of(amount, 0, settles=mode is Mode.CAPTURE)
        return Plan(needs, hold_id, amount, shares, 2**53, ttl_ms, b"asked", mode)

    async def hold(self, amount: int, ttl_ms: int = 60_000) -> str:
        plan = self.plan(amount, ttl_ms=ttl_ms)
        reply = await self.store.authorize(plan)
        assert reply.outcome is not None and reply.outcome.allowed
        return plan.hold_id

    async def end(self, hold_id: str, step: Step, cost: int = 0) -> Reply:
        order = Finish(ORG, hold_id, step, cost, sources=(GRANT,), has_sources=True)
        return await self.store.finish(order)

    async def grant(
        self, amount: int, grant_id: str = "g1", expires_ms: int | None = None
    ) -> Reply:
        given = Grant(grant_id, "paid", amount, 10, self.now_ms, None, expires_ms)
        return await self.store.grant(GrantOrder(ORG, "USD", given, b"meta", b""))

    async def balances(self) -> tuple[int, int, int]:
        """(grant, held, shortfall)"""
        found = await self.store.snapshot(ORG, ("g/g1", "held", "shortfall"))
        return found.balances[0], found.balances[1], found.balances[2]

    async def cap(self) -> tuple[int, int]:
        return (await self.store.counters(ORG, (CAP,), self.now_ms))[0]


@pytest_asyncio.fixture(params=["memory", "redis"])
async def bench(request: pytest.FixtureRequest, valkey_url: str) -> AsyncIterator[Bench]:
    if request.param == "redis":
        redis = ClockedRedis(valkey_url, START_MS)
        await redis.prepare()
        yield Bench(redis)
        await redis.close()
    else:
        found = Bench(MemoryStore(lambda: found.now_ms))
        yield found


async def test_a_hold_moves_money_and_counts_in_the_cap_from_the_moment_it_is_made(
    bench: Bench,
) -> None:
    await bench.grant(1000)
    await bench.hold(300)
    assert await bench.balances() == (700, 300, 0)
    assert await bench.cap() == (0, 300)


ENDS = {
    "captured whole": (Step.capture, 300, (700, 0, 0), (300, 0)),
    "captured in part": (Step.capture, 120, (880, 0, 0), (120, 0)),
    "captured at nothing": (Step.capture, 0, (1000, 0, 0), (0, 0)),
    "captured above the hold": (Step.capture, 500, (500, 0, 0), (500, 0)),
    "captured above all funds": (Step.capture, 1500, (0, 0, 500), (1500, 0)),
    "released": (Step.release, 0, (1000, 0, 0), (0, 0)),
}


@pytest.mark.parametrize("name", ENDS)
async def test_a_hold_ends_exactly_once(bench: Bench, name: str) -> None:
    step, cost, balances, cap = ENDS[name]
    await bench.grant(1000)
    hold_id = await bench.hold(300)
    assert (await bench.end(hold_id, step, cost)).status is Status.DONE
    for again in (Step.capture, Step.release):
        reply = await bench.end(hold_id, again, 50)
        assert reply.status is Status.ENDED
        assert reply.hold is not None and reply.hold.state is HoldStatus(int(step))
    assert await bench.balances() == balances
    assert await bench.cap() == cap


async def test_expiry_gives_back_at_its_moment_and_never_before(bench: Bench) -> None:
    await bench.grant(1000)
    await bench.hold(300, ttl_ms=5000)
    await bench.tick(4999)
    assert await bench.store.expire(ALL_SHARDS, 100) == 0
    assert await bench.balances() == (700, 300, 0)
    await bench.tick(1)
    assert await bench.store.expire(ALL_SHARDS, 100) == 1
    assert await bench.store.expire(ALL_SHARDS, 100) == 0
    assert await bench.balances() == (1000, 0, 0)
    assert await bench.cap() == (0, 0)


@pytest.mark.parametrize("sweep_first", [True, False])
async def test_a_capture_in_the_millisecond_of_expiry_changes_the_balance_once(
    bench: Bench, sweep_first: bool
) -> None:
    await bench.grant(1000)
    hold_id = await bench.hold(300, ttl_ms=5000)
    await bench.tick(5000)
    if sweep_first:
        await bench.store.expire(ALL_SHARDS, 100)
    reply = await bench.end(hold_id, Step.capture, 300)
    if not sweep_first:
        assert await bench.store.expire(ALL_SHARDS, 100) == 0
    assert reply.ended is not None and reply.ended.late
    assert (await bench.end(hold_id, Step.capture, 300)).status is Status.ENDED
    assert await bench.balances() == (700, 0, 0)


async def test_a_due_hold_cannot_be_released_or_extended(bench: Bench) -> None:
    await bench.grant(1000)
    hold_id = await bench.hold(300, ttl_ms=5000)
    await bench.tick(5000)
    assert (await bench.end(hold_id, Step.release)).status is Status.ENDED
    more = replace(bench.plan(10), hold_id=hold_id, extends=True)
    assert (await bench.store.authorize(more)).status is Status.ENDED


async def test_an_extend_that_is_denied_leaves_the_hold_as_it_was(bench: Bench) -> None:
    await bench.grant(1000)
    hold_id = await bench.hold(300)
    for amount, allowed in ((200, True), (501, False)):
        more = replace(bench.plan(amount), hold_id=hold_id, extends=True)
        reply = await bench.store.authorize(more)
        assert reply.outcome is not None and reply.outcome.allowed is allowed
    found = await bench.store.hold(hold_id)
    assert found is not None and found[0].amount == 500
    assert await bench.balances() == (500, 500, 0)


async def test_a_request_denied_by_one_limit_uses_up_none_of_the_others(bench: Bench) -> None:
    await bench.grant(1000)
    for _ in range(3):
        await bench.hold(10)
    denied = await bench.store.authorize(bench.plan(10))
    assert denied.outcome is not None and not denied.outcome.allowed
    assert await bench.cap() == (0, 30)
    assert await bench.balances() == (970, 30, 0)


async def test_the_same_key_gives_the_first_outcome_and_one_effect(bench: Bench) -> None:
    await bench.grant(1000)
    first = replace(bench.plan(100), idempotency=Idempotency("k/1", b"a" * 16, 1000))
    again = replace(bench.plan(100), idempotency=Idempotency("k/1", b"a" * 16, 1000))
    other = replace(bench.plan(200), idempotency=Idempotency("k/1", b"b" * 16, 1000))
    done, replay = await bench.store.authorize(first), await bench.store.authorize(again)
    assert (done.status, replay.status) == (Status.DONE, Status.REPLAY)
    assert replay.outcome == done.outcome and replay.body == b"of acme: asked"
    assert (await bench.store.authorize(other)).status is Status.REUSED
    assert await bench.balances() == (900, 100, 0)
    await bench.tick(1000)
    assert (await bench.store.authorize(again)).status is Status.DONE


async def test_what_becomes_of_a_decision_is_said_once_and_a_forgotten_key_is_new(
    bench: Bench,
) -> None:
    store, key = bench.store, Idempotency("k/once", b"d" * 16, 60_000)
    first = await store.authorize(replace(bench.plan(100), idempotency=key))
    decision = ids.decision_of(bench.plan(1).hold_id)
    assert await store.claim(decision, UNDONE) == UNDONE
    assert await store.claim(decision, TOLD) == UNDONE
    assert await store.claim(decision, UNDONE) == UNDONE
    await store.forget(ORG, key)
    second = await store.authorize(replace(bench.plan(100), idempotency=key))
    assert (first.status, second.status) == (Status.DONE, Status.DONE)
    assert (await store.last(keys.shard_of(ORG)))[1] == 1, "two records, numbered from 0"


async def test_a_stale_version_or_a_late_plan_changes_nothing(bench: Bench) -> None:
    await bench.grant(1000)
    late = replace(bench.plan(100), not_after_ms=bench.now_ms)
    assert (await bench.store.authorize(late)).status is Status.STALE
    assert await bench.store.fence(Version("org", ORG, 7), (keys.shard_of(ORG),)) == 7
    reply = await bench.store.authorize(bench.plan(100))
    assert (reply.status, reply.versions) == (Status.STALE, (7,))
    assert await bench.store.fence(Version("org", ORG, 3), (keys.shard_of(ORG),)) == 7
    assert await bench.balances() == (1000, 0, 0)


async def test_one_of_many_has_a_lease_until_it_ends(bench: Bench) -> None:
    store = bench.store
    assert await store.lease("work", "a", 10_000)
    assert not await store.lease("work", "b", 10_000)
    assert await store.lease("work", "a", 10_000), "the holder prolongs it"
    assert await store.lease("other", "b", 10_000)


async def test_needs_that_the_store_forgot_are_told_again(bench: Bench) -> None:
    await bench.grant(1000)
    first = bench.plan(100)
    for _ in range(3):
        again = replace(bench.plan(100), needs=first.needs)
        reply = await bench.store.authorize(again)
        assert reply.outcome is not None and reply.outcome.allowed
        if isinstance(bench.store, ClockedRedis):
            # A restart without its functions, or a failover, forgets.
            await bench.store.pipeline.call("FUNCTION", "FLUSH")
    assert await bench.balances() == (700, 300, 0)


async def test_what_comes_back_to_an_ended_grant_ends_with_it(bench: Bench) -> None:
    await bench.grant(1000)
    hold_id = await bench.hold(300)
    void = VoidOrder(ORG, "USD", "g1", b"")
    done = await bench.store.void(void)
    assert done.moved is not None and done.moved.amount == -700
    assert (await bench.store.void(void)).status is Status.MISSING
    reply = await bench.end(hold_id, Step.release)
    assert reply.ended is not None and [p.gone for p in reply.ended.back] == [True]
    assert await bench.balances() == (0, 0, 0)


async def test_a_grant_lapses_at_its_expiry_and_takes_its_rest_along(bench: Bench) -> None:
    await bench.grant(1000, expires_ms=START_MS + 5000)
    await bench.hold(300)
    await bench.tick(5000)
    assert await bench.store.expire(ALL_SHARDS, 100) == 1
    assert (await bench.store.grants(ORG))[1] == []
    assert await bench.balances() == (0, 300, 0)


async def test_a_paid_grant_settles_an_open_shortfall_first(bench: Bench) -> None:
    await bench.grant(100)
    await bench.end(await bench.hold(100), Step.capture, 250)
    assert await bench.balances() == (0, 0, 150)
    reply = await bench.grant(200, "g2")
    assert reply.moved is not None and (reply.moved.settled, reply.moved.available) == (150, 50)
    assert await bench.balances() == (0, 0, 0)


async def test_records_are_gapless_and_a_refusal_has_one_too(bench: Bench) -> None:
    await bench.grant(100)
    await bench.hold(60)
    refused = await bench.store.authorize(bench.plan(60))
    assert refused.outcome is not None and not refused.outcome.allowed
    await bench.store.authorize(replace(bench.plan(1), mode=Mode.DRY))
    shard = keys.shard_of(ORG)
    found = [r for r in await bench.store.records({}, 100) if r.shard == shard]
    assert [(r.seq, r.kind) for r in found] == [(0, "grant"), (1, "authorize"), (2, "authorize")]
    behind = await bench.store.records({shard: (1, 1)}, 100)
    assert [r.seq for r in behind] == [2]
