"""What windows that rules declare cost: the store's own time for a decision, without and with.

And what a list of many items takes, and how long a store follows it.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from msgspec.structs import replace

from gateway.core import ids, plan
from gateway.core.commands import Mode, Plan
from gateway.core.entities import Cap, PricePlan, RateLimit
from gateway.core.velocity import CountersInPlay, Entry
from gateway.core.windows import FOREVER_MS
from gateway.store import keys
from gateway.store.embedded import EmbeddedStore
from gateway.store.functions import Functions
from gateway.store.library import build
from gateway.store.pipeline import Pipeline, parse_url
from gateway.store.redis import RedisStore
from gateway.store.shards import Shards
from gateway.wire import records
from loadtests.books import World, lineage_of

DECISIONS = 4_000
AT_ONCE = 32
ROUNDS = 7
ITEMS, FOLLOWED_AT_ONCE = 1_000_000, 500
WINDOWS = ((), (1, 604_800_000), (1, 600_000, 1, 7_200_000))
"""Of the org none, of the user and of the key: since which change, and how wide."""
PLAN = PricePlan(
    "payg",
    "default",
    caps=(
        Cap("monthly", "org", "month", 10**14),
        Cap("daily", "user", "day", 10**14),
        Cap("hourly", "key", "hour", 10**14),
    ),
    rate_limits=(
        RateLimit("requests", "key", "requests", 10**9),
        RateLimit("tokens", "org", "tokens", 10**12),
    ),
)


class Measured:
    """A store of its own, and the time that its functions take."""

    def __init__(self, pipeline: Pipeline, store: RedisStore, world: World) -> None:
        self._pipeline, self._store, self._world = pipeline, store, world
        self._serial = 0

    def plan(self, org: str, met: CountersInPlay) -> Plan:
        """One request that is allowed, and held."""
        self._serial += 1
        terms = self._world.terms[org]
        body = ids.make(self._world.now_ms, keys.shard_of(org), self._serial)
        request = plan.Request(
            lineage_of(org), "gpt", {"tokens": 1_000}, None, Mode.HOLD, 60_000, {}
        )
        amount = plan.quote(terms, request)
        asked = plan.make(terms, request, ids.DECISION + body, ids.HOLD + body, amount)
        packed = records.encode_asked(asked, terms)
        return plan.assemble(terms, asked, request, packed, FOREVER_MS, met=met)

    async def _spent_us(self, orgs: list[str], met: CountersInPlay) -> float:
        """What the store spends on a decision of each of some orgs."""
        plans = [self.plan(org, met) for org in orgs]
        await self._pipeline.call("CONFIG", "RESETSTAT")
        for reply in await asyncio.gather(*map(self._store.authorize, plans)):
            assert reply.outcome is not None and reply.outcome.allowed
        info = (await self._pipeline.call("INFO", "commandstats")).decode()
        (line,) = (line for line in info.splitlines() if line.startswith("cmdstat_fcall:"))
        fields = dict(part.split("=") for part in line.partition(":")[2].split(","))
        return float(fields["usec"])

    async def pair_us(self, orgs: list[str]) -> tuple[float, float]:
        """Microseconds of the store a decision, without and with; turn by turn, as noise comes."""
        without = with_ = 0.0
        for at in range(0, DECISIONS, AT_ONCE):
            some = [orgs[n % len(orgs)] for n in range(at, at + AT_ONCE)]
            # Not the same orgs: a window that is no longer declared stays for a while.
            without += await self._spent_us([f"{org}-a" for org in some], CountersInPlay())
            with_ += await self._spent_us(
                [f"{org}-b" for org in some], CountersInPlay(WINDOWS, version=1)
            )
        return without / DECISIONS, with_ / DECISIONS


async def listing(pipeline: Pipeline, store: RedisStore) -> tuple[float, float]:
    """MiB that so many items take in the store, and items a second that it follows."""

    async def used() -> int:
        info = (await pipeline.call("INFO", "memory")).decode()
        return int(info.partition("used_memory:")[2].split()[0])

    before, started = await used(), time.perf_counter()
    for at in range(0, ITEMS, FOLLOWED_AT_ONCE):
        numbers = range(at + 1, at + FOLLOWED_AT_ONCE + 1)
        await store.follow([Entry("bad", f"{n:024x}", n, 0, is_gone=False) for n in numbers])
    seconds = time.perf_counter() - started
    return (await used() - before) / 2**20, ITEMS / seconds


async def measure(directory: Path) -> None:
    """Print what windows cost, and what a list takes."""
    embedded = EmbeddedStore(directory / "store", print)
    await embedded.start()
    pipeline = Pipeline(parse_url(embedded.url), deadline_s=10)
    functions = Functions(pipeline, build())
    shards, store = Shards(functions), RedisStore(functions)
    await shards.load_functions()
    await shards.open(dict.fromkeys(range(keys.SHARDS), 1))
    world, orgs = World(PLAN), [f"org-{n}" for n in range(100)]
    for org in (f"{org}-{half}" for org in orgs for half in "ab"):
        await world.give(org)
        needs = world.terms[org].needs
        for version in needs.versions:
            await store.fence(version, (keys.shard_of(org),))
        wide = replace(needs, valid_from_ms=0, valid_until_ms=FOREVER_MS)
        rich = tuple(replace(source, floor=-(10**15)) for source in wide.sources)
        world.terms[org] = replace(world.terms[org], needs=replace(wide, sources=rich))
    measured = Measured(pipeline, store, world)
    pairs = [await measured.pair_us(orgs) for _ in range(ROUNDS)]
    without, with_ = sorted(pairs, key=lambda pair: pair[1] / pair[0])[ROUNDS // 2]
    more = 100 * (with_ / without - 1)
    print(f"store's time       {without:.1f} us a decision, {with_:.1f} with three windows that")
    print(f"                   rules declare: {more:.1f} % more (median of {ROUNDS} pairs)")
    mib, rate = await listing(pipeline, store)
    print(f"{ITEMS:,} items    {mib:.0f} MiB in the store, followed at {rate:,.0f} items/s")
    await pipeline.close()
    await embedded.stop()


def main() -> None:
    """Measure with a store of its own."""
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(Path(directory)))


if __name__ == "__main__":
    main()
