"""What windows that rules declare cost: the store's own time for a decision, without and with."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from pathlib import Path

from msgspec.structs import replace

from gateway.core import ids, plan
from gateway.core.entities import Cap, PricePlan, RateLimit
from gateway.core.orders import Mode, Plan
from gateway.core.tallies import COUNTED, ONE_MORE, Tally
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
WINDOWS = (("k/key", 600_000), ("k/key", 7_200_000), ("u/user", 604_800_000))
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


def _tallies(org: str) -> tuple[Tally, ...]:
    return tuple(
        Tally(COUNTED, org, f"w/1.{width_ms}/{entity}", width_ms, ONE_MORE)
        for entity, width_ms in WINDOWS
    )


class Measured:
    """A store of its own, and the time that its functions take."""

    def __init__(self, pipeline: Pipeline, store: RedisStore, world: World) -> None:
        self._pipeline, self._store, self._world = pipeline, store, world
        self._serial = 0

    def plan(self, org: str, tallies: tuple[Tally, ...]) -> Plan:
        """One request that is allowed, captured at once."""
        self._serial += 1
        terms = self._world.terms[org]
        body = ids.make(self._world.now_ms, keys.shard_of(org), self._serial)
        request = plan.Request(lineage_of(org), "gpt", {"tokens": 1_000}, None, Mode.CAPTURE, 0, {})
        amount = plan.quote(terms, request)
        asked = plan.make(terms, request, ids.DECISION + body, ids.HOLD + body, amount)
        packed = records.encode_asked(asked, terms)
        return plan.assemble(terms, asked, request, packed, FOREVER_MS, tallies=tallies)

    async def us(self, orgs: list[str], *, with_windows: bool) -> float:
        """Microseconds of the store a decision."""
        await self._pipeline.call("CONFIG", "RESETSTAT")
        of = [orgs[n % len(orgs)] for n in range(DECISIONS)]
        plans = [self.plan(org, _tallies(org) if with_windows else ()) for org in of]
        for at in range(0, DECISIONS, AT_ONCE):
            some = plans[at : at + AT_ONCE]
            for reply in await asyncio.gather(*map(self._store.authorize, some)):
                assert reply.outcome is not None and reply.outcome.allowed
        info = (await self._pipeline.call("INFO", "commandstats")).decode()
        (line,) = (line for line in info.splitlines() if line.startswith("cmdstat_fcall:"))
        fields = dict(part.split("=") for part in line.partition(":")[2].split(","))
        return float(fields["usec"]) / int(fields["calls"])


async def windows(directory: Path) -> tuple[float, float]:
    """Microseconds of the store a decision: without declared windows, and with three."""
    embedded = EmbeddedStore(directory / "store", print)
    await embedded.start()
    pipeline = Pipeline(parse_url(embedded.url), deadline_s=10)
    functions = Functions(pipeline, build())
    shards, store = Shards(functions), RedisStore(functions)
    await shards.load_functions()
    await shards.open(dict.fromkeys(range(keys.SHARDS), 1))
    world, orgs = World(PLAN), [f"org-{n}" for n in range(200)]
    for org in orgs:
        await world.give(org)
        needs = world.terms[org].needs
        for version in needs.versions:
            await store.fence(version, (keys.shard_of(org),))
        wide = replace(needs, valid_from_ms=0, valid_until_ms=FOREVER_MS)
        rich = tuple(replace(source, floor=-(10**15)) for source in wide.sources)
        world.terms[org] = replace(world.terms[org], needs=replace(wide, sources=rich))
    measured = Measured(pipeline, store, world)
    pairs = []
    for _ in range(ROUNDS):
        without = await measured.us(orgs, with_windows=False)
        pairs.append((without, await measured.us(orgs, with_windows=True)))
    await pipeline.close()
    await embedded.stop()
    middle = sorted(pairs, key=lambda pair: pair[1] / pair[0])[ROUNDS // 2]
    print(f"ratios: {', '.join(f'{with_ / without:.3f}' for without, with_ in pairs)}")
    return middle[0], statistics.median(pair[1] for pair in pairs)


def main() -> None:
    """Print what three windows cost."""
    with tempfile.TemporaryDirectory() as directory:
        without, with_ = asyncio.run(windows(Path(directory)))
    print(f"store's time a decision   {without:.1f} us without, {with_:.1f} us with three windows")


if __name__ == "__main__":
    main()
