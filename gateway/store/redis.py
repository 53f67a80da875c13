"""The Redis store: plans become function calls, replies become values."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import hiredis

from gateway.core import ids
from gateway.core.holds import ENDED_KEPT_MS, LATE_CAPTURE_MS, Hold
from gateway.core.orders import (
    AdjustOrder,
    Finish,
    GrantOrder,
    Idempotency,
    Plan,
    Reply,
    Version,
    VoidOrder,
)
from gateway.errors import Bug, OperatorError, Unavailable
from gateway.store import keys
from gateway.store.codec import (
    UNKNOWN,
    Prepared,
    decode_hold,
    ended_of,
    grant_spec,
    kept_reply,
    kept_under,
    outcome_of,
    pack,
    position,
    prepare,
    reply_of,
    sources_spec,
    with_moved,
)
from gateway.store.library import Library
from gateway.store.pipeline import Argument, Pipeline
from gateway.store.port import Result, Snapshot
from gateway.wire.records import StreamRecord

OLDEST_VERSION = (7, 2)
"""As INFO's redis_version tells it, which Valkey 8 gives as 7.2 too."""


class RedisStore:
    """The functions of a library on one Redis ≥ 7.2 or Valkey ≥ 8, over one pipeline."""

    def __init__(
        self,
        pipeline: Pipeline,
        library: Library,
        *,
        late_capture_ms: int = LATE_CAPTURE_MS,
        ended_kept_ms: int = ENDED_KEPT_MS,
    ) -> None:
        self._pipeline = pipeline
        self._library = library
        self._names = library.names
        self._late_capture_ms = late_capture_ms
        self._ended_kept_ms = ended_kept_ms

    async def _function(
        self, name: str, function_keys: list[str], args: tuple[Argument, ...]
    ) -> Any:
        command = ("FCALL", self._names[name], len(function_keys), *function_keys, *args)
        try:
            return await self._pipeline.call(*command)
        except hiredis.ReplyError as error:
            if "Function not found" in str(error):
                await self.load_functions()
                return await self._pipeline.call(*command)
            raise _fault(error) from error

    async def load_functions(self) -> None:
        """Load the library unless it is there; another version's stays beside it."""
        try:
            await self._pipeline.call("FUNCTION", "LOAD", self._library.source)
        except hiredis.ReplyError as error:
            if "already exists" not in str(error):
                raise _fault(error) from error

    async def authorize(self, plan: Plan) -> Reply:
        needs = plan.needs
        prepared = needs.prepared
        if not isinstance(prepared, Prepared):
            prepared = needs.prepared = prepare(needs)
        shard, idempotency = prepared.shard, plan.idempotency
        idem_key, digest, ttl_ms = prepared.nothing, b"", 0
        if idempotency is not None:
            idem_key, digest, ttl_ms = kept_under(shard, needs.org, idempotency)
        spec = (
            plan.mode,
            plan.refused,
            plan.probe,
            plan.extends,
            plan.amount,
            plan.not_after_ms,
            plan.hold_ttl_ms,
            ttl_ms,
            plan.hold_id,
            plan.shares,
        )
        own = [idem_key, keys.hold(shard, plan.hold_id), prepared.epoch]
        args = (pack(spec), digest, plan.asked, prepared.id)
        raw = None
        if prepared.is_known:
            raw = await self._function("authorize", own, args)
        if raw is None or raw[0] == UNKNOWN:
            raw = await self._function("authorize", own, (*args, *prepared.told))
            prepared.is_known = True
        reply, out = reply_of(raw)
        if out is not None:
            reply.outcome = outcome_of(out)
        return reply

    async def finish(self, order: Finish) -> Reply:
        shard = keys.shard_of(order.org)
        prefix = keys.org_prefix(shard, order.org)
        idem_key, digest, ttl_ms = kept_under(shard, order.org, order.idempotency)
        of = [
            keys.stream(shard),
            keys.due(shard),
            keys.epoch(shard),
            idem_key,
            keys.hold(shard, order.hold_id),
        ]
        of += [keys.version(shard, v) for v in order.versions]
        of += [prefix + s.name for s in order.sources]
        spec = (
            int(order.step),
            order.cost,
            order.tokens,
            order.valid_from_ms,
            order.valid_until_ms,
            ttl_ms,
            1 if order.has_sources else 0,
            self._ended_kept_ms,
            order.hold_id,
            [v.expected for v in order.versions],
            sources_spec(order.sources),
        )
        args = (pack(spec), digest, order.body, keys.tag(shard))
        reply, out = reply_of(await self._function("finish", of, args))
        if out is not None:
            reply.ended = ended_of(out)
        return reply

    async def grant(self, order: GrantOrder) -> Reply:
        shard, given = keys.shard_of(order.org), order.grant
        prefix = keys.org_prefix(shard, order.org)
        idem_key, digest, ttl_ms = kept_under(shard, order.org, order.idempotency)
        of = [keys.stream(shard), keys.due(shard), keys.epoch(shard), idem_key]
        of += [prefix + name for name in ("shortfall", f"g/{given.id}", "grants", "v.grants")]
        spec = grant_spec(order.org, order.currency, given, ttl_ms)
        meta = order.currency.encode() + order.meta
        raw = await self._function("grant", of, (pack(spec), digest, order.body, meta))
        return with_moved(raw)

    async def void(self, order: VoidOrder) -> Reply:
        shard = keys.shard_of(order.org)
        prefix = keys.org_prefix(shard, order.org)
        idem_key, digest, ttl_ms = kept_under(shard, order.org, order.idempotency)
        of = [keys.stream(shard), keys.due(shard), keys.epoch(shard), idem_key]
        of += [f"{prefix}g/{order.grant_id}"]
        spec = (order.org, order.currency, order.grant_id, ttl_ms)
        args = (pack(spec), digest, order.body, keys.tag(shard))
        return with_moved(await self._function("void", of, args))

    async def adjust(self, order: AdjustOrder) -> Reply:
        shard = keys.shard_of(order.org)
        prefix = keys.org_prefix(shard, order.org)
        idem_key, digest, ttl_ms = kept_under(shard, order.org, order.idempotency)
        of = [keys.stream(shard), keys.epoch(shard), idem_key]
        of += [prefix + name for name in ("shortfall", "adjustments", "held")]
        of += [keys.version(shard, v) for v in order.versions]
        of += [prefix + s.name for s in order.sources]
        spec = (
            order.org,
            order.currency,
            order.kind,
            order.amount,
            -1 if order.target is None else order.target,
            order.valid_from_ms,
            order.valid_until_ms,
            ttl_ms,
            [v.expected for v in order.versions],
            sources_spec(order.sources),
        )
        return with_moved(await self._function("adjust", of, (pack(spec), digest, order.body)))

    async def kept(self, org: str, idempotency: Idempotency, result: type[Result]) -> Reply | None:
        shard = keys.shard_of(org)
        value = await self._pipeline.call("GET", keys.org_prefix(shard, org) + idempotency.name)
        return None if value is None else kept_reply(value, idempotency.digest, result)

    async def expire(self, shards: range, limit: int) -> int:
        name, ended, limits = self._names["expire"], 0, (limit, self._late_capture_ms)
        # Most shards have nothing due: one question for all of them, not a call each.
        due = [shards[i - 1] for i in await self._function("due", [*map(keys.due, shards)], ())]
        commands: list[tuple[Argument, ...]] = [
            ("FCALL", name, 3, keys.stream(s), keys.due(s), keys.epoch(s), keys.tag(s), *limits)
            for s in due
        ]
        for _, count in await self._many(commands):
            ended += count
        return ended

    async def _many(self, commands: list[tuple[Argument, ...]]) -> list[Any]:
        try:
            return await self._pipeline.call_many(commands)
        except hiredis.ReplyError as error:
            if "Function not found" in str(error):
                await self.load_functions()
                return await self._pipeline.call_many(commands)
            raise _fault(error) from error

    async def hold(self, hold_id: str) -> tuple[Hold, bytes] | None:
        shard = ids.shard_in(hold_id)
        if shard is None or shard >= keys.SHARDS:
            return None
        value = await self._pipeline.call("GET", keys.hold(shard, hold_id))
        return None if value is None else decode_hold(value)

    async def grants(self, org: str) -> tuple[int, list[tuple[bytes, int]]]:
        shard = keys.shard_of(org)
        prefix = keys.org_prefix(shard, org)
        # The version is read first: a grant that comes between makes the profile stale, not wrong.
        version = await self._pipeline.call("GET", prefix + "v.grants")
        flat = await self._pipeline.call("HGETALL", prefix + "grants")
        metas = dict(zip(flat[::2], flat[1::2], strict=True))
        if not metas:
            return int(version or 0), []
        balances = [f"{prefix}g/{grant_id.decode()}" for grant_id in metas]
        values = await self._pipeline.call("MGET", *balances)
        found = [(m[3:], int(v or 0)) for m, v in zip(metas.values(), values, strict=True)]
        return int(version or 0), found

    async def fence(self, version: Version, shards: tuple[int, ...]) -> int:
        name = self._names["fence"]
        commands: list[tuple[Argument, ...]] = [
            ("FCALL", name, 1, keys.version(shard, version), version.expected) for shard in shards
        ]
        numbers: list[int] = await self._many(commands)
        return max(numbers)

    async def count_shared(self, kind: str, digest: str, amount_micros: int) -> list[int]:
        key = keys.shared_entity(kind, digest)
        numbers: list[int] = await self._function("count", [key], (amount_micros,))
        return numbers

    async def snapshot(self, org: str, names: tuple[str, ...]) -> Snapshot:
        shard = keys.shard_of(org)
        prefix = keys.org_prefix(shard, org)
        of = [keys.stream(shard), *(prefix + name for name in names)]
        last, now_ms, values = await self._function("snapshot", of, ())
        epoch, seq = position(last)
        balances = tuple(int(v or 0) for v in values)
        return Snapshot(shard, epoch, seq if epoch else -1, now_ms, balances)

    async def windows(self, org: str, names: tuple[str, ...]) -> list[tuple[int, int]]:
        if not names:
            return []
        prefix = keys.org_prefix(keys.shard_of(org), org)
        values = await self._pipeline.call("MGET", *(prefix + name for name in names))
        pairs = [struct.unpack("<dd", v) if v else (0, 0) for v in values]
        return [(int(used), int(held)) for used, held in pairs]

    async def targets(self, org: str, index: str) -> list[str]:
        prefix = keys.org_prefix(keys.shard_of(org), org)
        return sorted(v.decode() for v in await self._pipeline.call("SMEMBERS", prefix + index))

    async def records(self, after: Mapping[int, tuple[int, int]], limit: int) -> list[StreamRecord]:
        names, positions = [], []
        for shard in range(keys.SHARDS):
            names.append(keys.stream(shard))
            epoch, seq = after.get(shard, (0, 0))
            positions.append(f"{epoch}-{seq}")
        streams = await self._pipeline.call("XREAD", "COUNT", limit, "STREAMS", *names, *positions)
        found = []
        for name, lines in streams or ():
            shard = int(name[2 : name.index(b"}")])
            for line_id, fields in lines:
                epoch, seq = position(line_id)
                kind, out, body = fields[1].decode(), fields[3], fields[5]
                found.append(StreamRecord(shard, epoch, seq, kind, out, body))
        return found

    async def trim(self, upto: Mapping[int, tuple[int, int]]) -> None:
        await self._pipeline.call_many(
            [
                ("XTRIM", keys.stream(shard), "MINID", f"{epoch}-{seq + 1}")
                for shard, (epoch, seq) in upto.items()
            ]
        )

    async def open_shards(self, shards: Sequence[int]) -> int:
        commands: list[tuple[Argument, ...]] = [
            ("SET", keys.epoch(shard), 1, "NX") for shard in shards
        ]
        return sum(reply is not None for reply in await self._pipeline.call_many(commands))

    async def closed_shards(self, shards: Sequence[int]) -> list[int]:
        """Those of these shards that have no epoch."""
        if not shards:
            return []
        epochs = await self._pipeline.call("MGET", *(keys.epoch(shard) for shard in shards))
        return [s for s, epoch in zip(shards, epochs, strict=True) if epoch is None]

    async def check_server(self) -> None:
        """Raise OperatorError on a server that cannot keep money safe."""
        text = (await self._pipeline.call("INFO", "everything")).decode()
        info = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        version = tuple(int(part) for part in info["redis_version"].split(".")[:2])
        if version < OLDEST_VERSION:
            raise OperatorError(
                "store_too_old",
                f"the store is version {info['redis_version']}; it must be redis 7.2 or valkey 8"
                " or newer",
            )
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise OperatorError(
                "store_evicts",
                f"the store's maxmemory-policy is {policy}: it would forget balances;"
                " set it to noeviction",
            )

    async def ping(self) -> int:
        seconds, micros = await self._pipeline.call("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def close(self) -> None:
        await self._pipeline.close()


def _fault(error: hiredis.ReplyError) -> Exception:
    text = str(error)
    if text.startswith(("LOADING", "OOM", "READONLY", "MASTERDOWN", "MISCONF", "CLUSTERDOWN")):
        return Unavailable("store_unavailable", f"the store refuses to work: {text}")
    return Bug(f"a store function failed: {text}")
