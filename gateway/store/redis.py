"""The Redis store: plans become function calls, replies become values."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from gateway.core import ids
from gateway.core.commands import (
    AdjustOrder,
    EventOrder,
    Finish,
    GrantOrder,
    Idempotency,
    Mode,
    Plan,
    Reply,
    Status,
    Version,
    VoidOrder,
)
from gateway.core.funding import grant_name
from gateway.core.holds import ENDED_KEPT_MS, LATE_CAPTURE_MS, Hold
from gateway.core.names import is_collective
from gateway.errors import Unavailable
from gateway.store import keys
from gateway.store.acknowledged_records import AcknowledgedRecords
from gateway.store.admission import FIRST, LATER, SHARED, Admission
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
    velocity_args,
    with_moved,
)
from gateway.store.functions import Command, Functions
from gateway.store.port import Result
from gateway.store.readings import RedisReadings
from gateway.store.velocity import RedisVelocity
from gateway.wire.records import StreamRecord, encode_kept


class Confirm(Protocol):
    """A wait until a change counts as made."""

    async def __call__(self, shard: int, position: tuple[int, int] | None) -> None:
        """Wait for a shard's record, or for all there are; raises Unavailable."""
        ...

    async def close(self) -> None:
        """Close the connection that it needs, if any."""
        ...


NOT_KEPT = ("", b"", 0)
CLAIMED_MS = 600_000
"""Life of a claim in ms: five times as long as a decision can be found unacknowledged."""
LAST_SEQ = 2**64 - 1


class RedisStore(RedisVelocity, RedisReadings):
    """The functions of a library on one Redis ≥ 7.2 or Valkey ≥ 8, over one pipeline."""

    def __init__(
        self,
        functions: Functions,
        *,
        late_capture_ms: int = LATE_CAPTURE_MS,
        ended_kept_ms: int = ENDED_KEPT_MS,
        admission: Admission | None = None,
    ) -> None:
        self.admission = admission or Admission()
        functions.pipeline.patience.on_silent = self.admission.fail
        self.confirm: Confirm | None = None
        """The wait until a change counts as made; None: it counts as soon as the store says so."""
        self._functions = functions
        self._pipeline = functions.pipeline
        self._late_capture_ms = late_capture_ms
        self._ended_kept_ms = ended_kept_ms
        self._epochs: dict[int, int] = {}
        """The newest epoch known of each shard."""
        self.recent = AcknowledgedRecords()
        self.met_closed = asyncio.Event()
        """Event that is set when a shard was found closed."""

    async def authorize(self, plan: Plan) -> Reply:
        needs = plan.needs
        prepared = needs.prepared
        if not isinstance(prepared, Prepared):
            prepared = needs.prepared = prepare(needs)
        org = SHARED if is_collective(needs.book) else needs.org
        lane, known = FIRST if plan.extends else LATER, prepared
        reply = await self.admission.run(
            org, known.work, lane, lambda waited_s: self._decide(plan, known, waited_s)
        )
        if self.confirm is not None and reply.outcome is not None and plan.mode is not Mode.DRY:
            await self._confirmed(prepared.shard, reply)
        return reply

    async def _decide(self, plan: Plan, prepared: Prepared, waited_s: float) -> Reply:
        """Ask for a decision; the time it waited for its turn does not count as late."""
        needs, shard, idempotency = plan.needs, prepared.shard, plan.idempotency
        idem_key, digest, ttl_ms = prepared.nothing, b"", 0
        if idempotency is not None:
            idem_key, digest, ttl_ms = kept_under(shard, needs.org, idempotency)
        spec = (
            plan.mode,
            plan.refused,
            plan.probe,
            plan.extends,
            plan.amount,
            plan.not_after_ms + int(1000 * waited_s),
            plan.hold_ttl_ms,
            ttl_ms,
            plan.hold_id,
            plan.shares,
            self._epochs.get(shard, 0),
            *velocity_args(shard, plan),
        )
        own = [idem_key, keys.hold(shard, plan.hold_id), prepared.epoch]
        args = (pack(spec), digest, plan.asked, prepared.id)
        raw, call = None, self._functions.call
        if prepared.is_known:
            raw = await call("authorize", own, args, urgent=True)
        if raw is None or raw[0] == UNKNOWN:
            raw = await call("authorize", own, (*args, *prepared.told), urgent=True)
            prepared.is_known = True
        reply, out = reply_of(raw)
        if out is None:
            return self._no_result(reply)
        reply.outcome = outcome_of(out)
        kind = "extend" if plan.extends else "authorize"
        said = (kind, out, plan.asked, needs.record)
        self._remember(shard, reply, said, (idem_key, digest, ttl_ms))
        return reply

    async def _in_turn(
        self, name: str, org: str, of: list[str], args: Command, lane: int = FIRST
    ) -> Any:
        """Call a function when the org's turn comes."""
        call = self._functions.call
        return await self.admission.run(org, len(of), lane, lambda _: call(name, of, args))

    def _remember(
        self,
        shard: int,
        reply: Reply,
        said: tuple[str, bytes, bytes, bytes],
        kept: tuple[str, bytes, int] = NOT_KEPT,
    ) -> None:
        """Remember what was acknowledged: kind, result, what was asked, and its terms."""
        if reply.position is None:
            return
        epoch, seq = reply.position
        # A server that still lives in an older epoch than we know of is refused from now on.
        self._epochs[shard] = epoch
        kind, out, body, terms = said
        key, digest, ttl_ms = kept
        name = encode_kept(reply.now_ms + ttl_ms, digest, key) if ttl_ms else b""
        self.recent.add(StreamRecord(shard, epoch, seq, kind, out, body, terms, name))

    async def _confirmed(self, shard: int, reply: Reply) -> Reply:
        """Return a reply once its change counts as made: a replayed one may not have been yet."""
        if self.confirm is not None and reply.status in (Status.DONE, Status.REPLAY):
            await self.confirm(shard, reply.position)
        return reply

    def _no_result(self, reply: Reply) -> Reply:
        if reply.status is Status.CLOSED:
            self.met_closed.set()
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
            [part for final in order.leaves.items() for part in final],
            order.valid_from_ms,
            order.valid_until_ms,
            ttl_ms,
            1 if order.has_sources else 0,
            self._ended_kept_ms,
            order.hold_id,
            [v.expected for v in order.versions],
            sources_spec(order.sources),
            self._epochs.get(shard, 0),
        )
        args = (pack(spec), digest, order.body, keys.tag(shard))
        reply, out = reply_of(await self._in_turn("finish", order.org, of, args))
        if out is None:
            return self._no_result(reply)
        reply.ended = ended_of(out)
        said = ("finish", out, order.body, b"")
        self._remember(shard, reply, said, (idem_key, digest, ttl_ms))
        return await self._confirmed(shard, reply)

    async def grant(self, order: GrantOrder) -> Reply:
        shard, given = keys.shard_of(order.org), order.grant
        prefix = keys.org_prefix(shard, order.org)
        idem_key, digest, ttl_ms = kept_under(shard, order.org, order.idempotency)
        of = [keys.stream(shard), keys.due(shard), keys.epoch(shard), idem_key]
        of += [prefix + name for name in ("shortfall", grant_name(given.id), "grants", "v.grants")]
        epoch = self._epochs.get(shard, 0)
        spec = grant_spec(order.org, order.currency, given, ttl_ms, epoch)
        meta = order.currency.encode() + order.meta
        raw = await self._in_turn("grant", order.org, of, (pack(spec), digest, order.body, meta))
        return await self._moved(shard, raw, ("grant", order.body), (idem_key, digest, ttl_ms))

    async def _moved(
        self, shard: int, raw: Any, said: tuple[str, bytes], kept: tuple[str, bytes, int]
    ) -> Reply:
        reply, out = with_moved(raw)
        if out is None:
            return self._no_result(reply)
        kind, body = said
        self._remember(shard, reply, (kind, out, body, b""), kept)
        return await self._confirmed(shard, reply)

    async def void(self, order: VoidOrder) -> Reply:
        shard = keys.shard_of(order.org)
        prefix = keys.org_prefix(shard, order.org)
        idem_key, digest, ttl_ms = kept_under(shard, order.org, order.idempotency)
        of = [keys.stream(shard), keys.due(shard), keys.epoch(shard), idem_key]
        of += [prefix + grant_name(order.grant_id)]
        spec = (order.org, order.currency, order.grant_id, ttl_ms, self._epochs.get(shard, 0))
        args = (pack(spec), digest, order.body, keys.tag(shard))
        raw = await self._in_turn("void", order.org, of, args)
        return await self._moved(shard, raw, ("void", order.body), (idem_key, digest, ttl_ms))

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
            self._epochs.get(shard, 0),
        )
        raw = await self._in_turn("adjust", order.org, of, (pack(spec), digest, order.body))
        return await self._moved(shard, raw, ("adjust", order.body), (idem_key, digest, ttl_ms))

    async def event(self, order: EventOrder) -> Reply:
        shard = keys.shard_of(order.org)
        idem_key, digest, ttl_ms = kept_under(shard, order.org, order.idempotency)
        of = [keys.stream(shard), keys.epoch(shard), idem_key]
        of += [keys.velocity(shard, tally.org, tally.name) for tally in order.tallies]
        spec = (
            *(order.org, order.type, order.id, order.at_ms, order.amount, ttl_ms),
            self._epochs.get(shard, 0),
            [tally.width_ms for tally in order.tallies],
        )
        args = (pack(spec), digest, order.body)
        raw = await self._in_turn("event", order.org, of, args, LATER)
        return await self._moved(shard, raw, ("event", order.body), (idem_key, digest, ttl_ms))

    async def kept(self, org: str, idempotency: Idempotency, result: type[Result]) -> Reply | None:
        shard = keys.shard_of(org)
        value = await self._functions.run(("GET", keys.org_prefix(shard, org) + idempotency.name))
        return None if value is None else kept_reply(value, idempotency.digest, result)

    async def claim(self, decision_id: str, purpose: str) -> str:
        shard = ids.shard_in(decision_id)
        assert shard is not None
        key = keys.claim(shard, decision_id)
        before = await self._functions.run(("SET", key, purpose, "NX", "GET", "PX", CLAIMED_MS))
        return purpose if before is None else before.decode()

    async def forget(self, org: str, idempotency: Idempotency) -> None:
        shard = keys.shard_of(org)
        await self._functions.run(("DEL", keys.org_prefix(shard, org) + idempotency.name))

    async def expire(self, shards: range, limit: int) -> int:
        name, ended, limits = self._functions.names["expire"], 0, (limit, self._late_capture_ms)

        def of_shard(shard: int) -> tuple[str, str, str]:
            return keys.stream(shard), keys.due(shard), keys.epoch(shard)

        # Most shards have nothing due: one question for all of them, not a call each.
        due = [
            shards[i - 1] for i in await self._functions.call("due", [*map(keys.due, shards)], ())
        ]
        commands: list[Command] = [
            (*("FCALL", name, 3), *of_shard(s), keys.tag(s), *limits, self._epochs.get(s, 0))
            for s in due
        ]
        replies = await self._functions.run_all(commands)
        for shard, (_, now_ms, *lines) in zip(due, replies, strict=True):
            ended += len(lines)
            for kind, out, at in lines:
                reply = Reply(Status.DONE, now_ms, position=position(at))
                self._remember(shard, reply, (kind.decode(), out, b"", b""))
        return ended

    async def hold(self, hold_id: str) -> tuple[Hold, bytes] | None:
        shard = ids.shard_in(hold_id)
        if shard is None or shard >= keys.SHARDS:
            return None
        value = await self._functions.run(("GET", keys.hold(shard, hold_id)))
        return None if value is None else decode_hold(value)

    async def grants(self, org: str) -> tuple[int, list[tuple[bytes, int]]]:
        shard = keys.shard_of(org)
        prefix = keys.org_prefix(shard, org)
        # The version is read first: a grant that comes between makes the profile stale, not wrong.
        version = await self._functions.run(("GET", prefix + "v.grants"))
        flat = await self._functions.run(("HGETALL", prefix + "grants"))
        metas = dict(zip(flat[::2], flat[1::2], strict=True))
        if not metas:
            return int(version or 0), []
        balances = [prefix + grant_name(grant_id.decode()) for grant_id in metas]
        values = await self._functions.run(("MGET", *balances))
        found = [(m[3:], int(v or 0)) for m, v in zip(metas.values(), values, strict=True)]
        return int(version or 0), found

    async def fence(self, version: Version, shards: tuple[int, ...]) -> int:
        name = self._functions.names["fence"]
        commands: list[Command] = [
            ("FCALL", name, 2, keys.version(shard, version), keys.epoch(shard), version.expected)
            for shard in shards
        ]
        numbers: list[int] = await self._functions.run_all(commands)
        if min(numbers) < 0:
            raise Unavailable("store_unavailable", "a shard is closed until it is rebuilt")
        return max(numbers)

    async def records(self, after: Mapping[int, tuple[int, int]], limit: int) -> list[StreamRecord]:
        names, positions = [], []
        for shard in range(keys.SHARDS):
            names.append(keys.stream(shard))
            positions.append(_id_after(*after.get(shard, (0, 0))))
        streams = await self._functions.run(
            ("XREAD", "COUNT", limit, "STREAMS", *names, *positions)
        )
        found = []
        for name, lines in streams or ():
            shard = int(name[2 : name.index(b"}")])
            for line_id, fields in lines:
                epoch, seq = position(line_id)
                _, kind, _, out, _, terms, _, body, _, kept = fields
                record = StreamRecord(shard, epoch, seq, kind.decode(), out, body, terms, kept)
                found.append(record)
        return found

    async def trim(self, upto: Mapping[int, tuple[int, int]]) -> None:
        await self._functions.run_all(
            [
                ("XTRIM", keys.stream(shard), "MINID", f"{epoch}-{seq + 1}")
                for shard, (epoch, seq) in upto.items()
            ]
        )

    async def ping(self) -> int:
        seconds, micros = await self._functions.run(("TIME",))
        return int(seconds) * 1000 + int(micros) // 1000

    async def close(self) -> None:
        if self.confirm is not None:
            await self.confirm.close()
        await self._pipeline.close()


def _id_after(epoch: int, seq: int) -> str:
    """Return the stream id to read after; seq -1 (no record yet) ends the epoch before."""
    return f"{epoch}-{seq}" if seq >= 0 else f"{epoch - 1}-{LAST_SEQ}"
