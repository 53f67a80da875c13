"""Reads of the hot state beside decisions; every method raises Unavailable."""

from __future__ import annotations

import struct

from gateway.core.counters import GAUGE, WINDOW, Counter, rolled
from gateway.core.entity_counters import signal_name
from gateway.store import keys
from gateway.store.codec import position
from gateway.store.functions import Functions
from gateway.store.port import Snapshot


class RedisReadings:
    """The part of the Redis store that moves nothing."""

    _functions: Functions

    async def snapshot(self, org: str, names: tuple[str, ...]) -> Snapshot:
        """Read balances and gauges of an org at one point of its shard's records."""
        shard = keys.shard_of(org)
        prefix = keys.org_prefix(shard, org)
        of = [keys.stream(shard), *(prefix + name for name in names)]
        last, now_ms, values = await self._functions.call("snapshot", of, ())
        epoch, seq = position(last)
        balances = tuple(int(v or 0) for v in values)
        return Snapshot(shard, epoch, seq if epoch else -1, now_ms, balances)

    async def first_body(self, name: str, digest: bytes, kept_ms: int) -> bytes:
        """Return the digest that came first under a name; this one, where it is the first."""
        key = keys.velocity(0, "", name)
        found = await self._functions.run(("SET", key, digest, "NX", "GET", "PX", kept_ms))
        return digest if found is None else bytes(found)

    async def is_known(self, org: str) -> bool:
        """Return whether an org asked for anything within a day."""
        prefix = keys.org_prefix(keys.shard_of(org), org)
        return bool(await self._functions.run(("EXISTS", prefix + signal_name("o"))))

    async def last(self, shard: int) -> tuple[int, int]:
        """Return (epoch, seq) of a shard's last record; seq is -1 where there is none."""
        of = [keys.stream(shard), keys.epoch(shard)]
        ((_, _, last),) = await self._functions.call("standing", of, ())
        epoch, seq = position(last)
        return epoch, seq if epoch else -1

    async def counters(
        self, org: str, counters: tuple[Counter, ...], now_ms: int
    ) -> list[tuple[int, int]]:
        """Read the two numbers of counters as of `now_ms` (Unix ms); zeros where there is none."""
        if not counters:
            return []
        prefix = keys.org_prefix(keys.shard_of(org), org)
        values = await self._functions.run(("MGET", *(prefix + c.name for c in counters)))
        return [_numbers(c, v, now_ms) for c, v in zip(counters, values, strict=True)]

    async def targets(self, org: str, index: str) -> list[str]:
        """List the targets in use of a cap that each entity of a level has its own of."""
        prefix = keys.org_prefix(keys.shard_of(org), org)
        return sorted(v.decode() for v in await self._functions.run(("SMEMBERS", prefix + index)))


def _numbers(counter: Counter, value: bytes | None, now_ms: int) -> tuple[int, int]:
    """The two numbers of a counter, as gateway.core.machine.read_counter gives them."""
    if value is None:
        return 0, 0
    if counter.shape == GAUGE:
        return int(value), 0
    if counter.shape == WINDOW:
        used, held = struct.unpack("<dd", value)
        return int(used), int(held)
    bucket, current, before = (int(number) for number in struct.unpack("<ddd", value))
    return rolled((bucket, current, before), counter.period_ms, now_ms)[1:]
