"""Both stores side by side, under one clock that tests move."""

from __future__ import annotations

import struct
from typing import Any

from msgspec import msgpack

from gateway.core.expiring_cells import Cells
from gateway.core.state import Record, Shard
from gateway.store import keys
from gateway.store.codec import decode_hold
from gateway.store.functions import Functions
from gateway.store.library import build
from gateway.store.pipeline import Argument, Pipeline, parse_url
from gateway.store.redis import RedisStore
from gateway.store.shards import Shards
from gateway.wire.records import encode_kept

CLOCK_KEY = "{clock}now"
TEST_CLOCK = f"local function clock_ms() return tonumber(redis.call('GET', '{CLOCK_KEY}')) end"
EXPIRE_BY_CLOCK = """
for _, key in ipairs(redis.call('KEYS', '{[se]*')) do
  local at = redis.call('PEXPIRETIME', key)
  if at > 0 and at <= tonumber(ARGV[1]) then redis.call('DEL', key) end
end"""
SHIFTED_CLOCK = f"""
local function clock_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000) + (redis.call('GET', '{CLOCK_KEY}') or 0)
end"""


class Stepwise(Pipeline):
    """A connection that sends one command at a time, with a hook on each side of it."""

    def __init__(self, url: str) -> None:
        super().__init__(parse_url(url), deadline_s=10)

    async def before(self) -> None:
        """What is to be done before each command."""

    async def behind(self) -> None:
        """What is to be done behind each command."""

    async def call(self, *args: Argument) -> Any:
        await self.before()
        reply = await super().call(*args)
        await self.behind()
        return reply

    call_urgent = call

    async def call_many(self, commands: list[tuple[Argument, ...]]) -> list[Any]:
        return [await self.call(*command) for command in commands]


class ClockedRedis(RedisStore):
    """The Redis store with a library whose time tests set."""

    def __init__(self, url: str, now_ms: int = 0, pipeline: Pipeline | None = None) -> None:
        self.pipeline = pipeline or Pipeline(parse_url(url), deadline_s=10)
        functions = Functions(self.pipeline, build(TEST_CLOCK))
        super().__init__(functions)
        self.whole = Shards(functions)
        self.now_ms = now_ms

    async def prepare(self) -> None:
        await self.pipeline.call("FLUSHALL")
        await self.pipeline.call("FUNCTION", "FLUSH")
        await self.whole.load_functions()
        await self.whole.open(dict.fromkeys(range(keys.SHARDS), 1))
        await self.set_time(self.now_ms)

    async def set_time(self, now_ms: int) -> None:
        """Move the clock; what has expired by it goes, as the server's own expiry would do."""
        if now_ms != self.now_ms:
            await self.pipeline.call("EVAL", EXPIRE_BY_CLOCK, 0, now_ms)
        self.now_ms = now_ms
        await self.pipeline.call("SET", CLOCK_KEY, now_ms)


async def dump_redis(store: ClockedRedis) -> dict[str, Any]:
    """Every key of the store, decoded, that is alive by the test's clock."""
    found: dict[str, Any] = {}
    for raw in await store.pipeline.call("KEYS", "{[se]*"):
        key = raw.decode()
        kind = (await store.pipeline.call("TYPE", key)).decode()
        expires_ms = await store.pipeline.call("PEXPIRETIME", key)
        if 0 < expires_ms <= store.now_ms or key.endswith("//epoch"):
            continue
        found[key] = await _decode(store, key, kind)
    return found


async def _decode(store: ClockedRedis, key: str, kind: str) -> Any:
    call, name = store.pipeline.call, key.partition("/")[2].partition("/")[2]
    if kind == "set":
        return frozenset(v.decode() for v in await call("SMEMBERS", key))
    if kind == "zset":
        flat = await call("ZRANGE", key, 0, -1, "WITHSCORES")
        return {m.decode(): int(at) for m, at in zip(flat[::2], flat[1::2], strict=True)}
    if kind == "hash":
        flat = await call("HGETALL", key)
        return {k.decode(): v for k, v in zip(flat[::2], flat[1::2], strict=True)}
    if kind == "stream":
        lines = await call("XRANGE", key, "-", "+")
        return [(f[1].decode(), *f[3::2]) for _, f in lines]
    value = await call("GET", key)
    if "//hold/" in key:
        hold, asked = decode_hold(value)
        return msgpack.encode(hold), asked
    if name.startswith("k/"):
        (size,) = struct.unpack_from("<I", value, 16)
        return value[:16], value[20 : 20 + size], value[20 + size :]
    if len(value) % 8 == 0 and not value.lstrip(b"-").isdigit():
        return tuple(int(n) for n in struct.unpack(f"<{len(value) // 8}d", value))
    return int(value)


def _kept(shard_id: int, record: Record) -> bytes:
    if record.kept is None:
        return b""
    key = keys.org_prefix(shard_id, record.org) + record.kept.name
    return encode_kept(record.kept.expires_ms, record.kept.digest, key)


def dump_shared(cells: Cells, now_ms: int) -> dict[str, Any]:
    """The picture of what many orgs share."""
    return {keys.velocity(0, org, name): v for (org, name), v in cells.alive(now_ms).items()}


def dump_memory(shard_id: int, shard: Shard, now_ms: int) -> dict[str, Any]:
    """The same picture of the reference machine's shard."""
    found: dict[str, Any] = {}
    for (org, name), value in shard.cells.alive(now_ms).items():
        key = keys.org_prefix(shard_id, org) + name
        found[key] = value
        if name.startswith("k/"):
            digest, result, body = value
            found[key] = (digest, msgpack.encode(result), body)
    for hold_id in shard.holds:
        known = shard.hold(hold_id, now_ms)
        if known:
            found[keys.hold(shard_id, hold_id)] = (msgpack.encode(known[0]), known[1])
    for org, grants in shard.grants.items():
        if grants:
            of = {grant_id: c.encode() + meta for grant_id, (c, meta) in grants.items()}
            found[keys.org_prefix(shard_id, org) + "grants"] = of
    for (kind, of_id), number in shard.versions.items():
        if number:
            prefix = f"{keys.tag(shard_id)}/{of_id}/" if kind in ("org", "grants") else ""
            name = f"v.{kind}" if prefix else f"{keys.tag(shard_id)}//v.{kind}/{of_id}"
            found[prefix + name] = number
    if shard.due:
        found[keys.due(shard_id)] = dict(shard.due)
    if shard.records:
        found[keys.stream(shard_id)] = [
            (r.kind, msgpack.encode(r.out), r.terms, r.body, _kept(shard_id, r))
            for r in shard.records
        ]
    return found
