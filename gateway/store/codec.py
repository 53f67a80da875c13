"""Encode plans and commands as a function's arguments, and decode its answers to values."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from msgspec import Struct, msgpack

from gateway.core import names
from gateway.core.commands import (
    Ended,
    Idempotency,
    Moved,
    Outcome,
    Plan,
    PlanTemplate,
    Reply,
    Status,
)
from gateway.core.counters import Source
from gateway.core.entities import Grant
from gateway.core.entity_counters import signal_name
from gateway.core.holds import Hold
from gateway.core.velocity import COUNTED, DISTINCT, FIRST, IF_REFUSED, ONE_MORE, SIGNAL, Past
from gateway.store import keys
from gateway.wire import records

UNKNOWN = 9
"""The authorize function's status when it does not remember the template: status.lua."""

WHENS = {"": 0, ONE_MORE: 1, IF_REFUSED: 2}
"""When a request adds to a COUNTED counter, as the library has it: never, always, if refused."""

pack = msgpack.Encoder().encode
outcome_of = msgpack.Decoder(Outcome).decode
ended_of = msgpack.Decoder(Ended).decode
_moved = msgpack.Decoder(Moved).decode
_numbers = msgpack.Decoder(tuple[int, ...]).decode


def decode_hold(value: bytes) -> tuple[Hold, bytes]:
    """Decode a stored hold: the length of its state, the state, what was asked."""
    (size,) = struct.unpack_from("<I", value)
    return records.decode_hold(value[4 : 4 + size]), value[4 + size :]


def kept_under(shard: int, org: str, idempotency: Idempotency | None) -> tuple[str, bytes, int]:
    """Return a stored result's key, the body's digest, and its life in ms (0: not stored)."""
    if idempotency is None:
        return keys.nothing(shard), b"", 0
    key = keys.org_prefix(shard, org) + idempotency.name
    return key, idempotency.digest, idempotency.ttl_ms


def sources_spec(sources: tuple[Source, ...]) -> list[int | str]:
    """List four values per source, in the order in which the library's draw and pay read them."""
    spec: list[int | str] = []
    for s in sources:
        spec += (s.floor, s.expires_ms, s.perishable, s.name)
    return spec


def velocity_args(shard: int, plan: Plan) -> tuple[object, ...]:
    """Return a plan's velocity counters as an argument of its call, if it has any."""
    has_any = plan.windows or plan.tallies or plan.version
    return (velocity_spec(shard, plan),) if has_any else ()


def velocity_spec(shard: int, plan: Plan) -> tuple[Sequence[int | str], ...]:
    """List a plan's velocity counters, as the authorize function reads them.

    The first list is the latest rule change that every worker knows, then of each declared window
    its signal's place, the change since which it is counted, and its width (ms). If there are other
    counters, more lists follow: keys of counts; their widths; when they are added to; three values
    per set; keys and widths of first times; keys of list items.
    """
    windows: list[int] = [plan.version]
    for place, of in enumerate(plan.windows):
        for at in range(0, len(of), 2):
            windows += (place, of[at], of[at + 1])
    if not plan.tallies:
        return (windows,)
    counts: list[str] = []
    widths: list[int] = []
    whens: list[int] = []
    sets: list[int | str] = []
    entries: list[str] = []
    firsts: list[int | str] = []
    for tally in plan.tallies:
        key = keys.velocity(shard, tally.org, tally.name)
        if tally.kind == COUNTED:
            counts.append(key)
            widths.append(tally.width_ms)
            whens.append(WHENS[tally.adds])
        elif tally.kind == DISTINCT:
            sets += (key, tally.width_ms, tally.adds)
        elif tally.kind == FIRST:
            firsts += (key, tally.width_ms)
        else:
            entries.append(key)
    return windows, counts, widths, whens, sets, firsts, entries


def past_spec(past: Past) -> tuple[int, int, list[str | int], int]:
    """Encode what happened before a counter counted it, as the backfill function reads it."""
    flat: list[str | int] = []
    for bucket, (n, micros) in past.buckets.items():
        flat += (bucket, n, micros)
    for member, at_ms in past.members.items():
        flat += (member, at_ms)
    tally = past.tally
    since = int(tally.adds) if tally.kind == SIGNAL else 0
    return tally.kind, tally.width_ms, flat, since


class Prepared(Struct):
    """Arguments of the authorize function that all plans of one template share.

    The template is sent once. From then on the store knows it by its digest `id`, as long as
    `is_known`: a store that forgot it asks for it again.
    """

    shard: int
    nothing: str
    epoch: str
    id: bytes
    told: tuple[bytes, bytes, bytes]
    work: int
    """Keys that a decision reads."""
    is_known: bool = False


def prepare(needs: PlanTemplate) -> Prepared:
    """Derive the keys and arguments that all plans with this template share."""
    shard = keys.shard_of(needs.org)
    prefix = keys.org_prefix(shard, needs.org)
    epoch = keys.epoch(shard)
    # The first two, idempotency and hold, are each request's own.
    of = ["", "", epoch]
    of += [keys.version(shard, v) for v in needs.versions]
    of += [prefix + signal_name(entity) for entity in needs.signals]
    of += [prefix + c.name for c in needs.counters]
    of += [prefix + s.name for s in needs.sources]
    counters: list[int | str] = []
    for c in needs.counters:
        target = names.target_of(c.name) if c.index else False
        counters += (c.shape, c.measure, c.limit, c.period_ms, c.in_hold, target, c.name)
        counters.append(c.counted_as)
    spec = pack(
        (
            needs.valid_from_ms,
            needs.valid_until_ms,
            needs.book,
            needs.currency,
            needs.product,
            needs.org,
            [v.expected for v in needs.versions],
            len(needs.signals),
            counters,
            sources_spec(needs.sources),
            of,
            keys.stream(shard),
            keys.due(shard),
            [prefix + c.index for c in needs.counters if c.index],
        )
    )
    told = (spec, needs.record, needs.brief)
    digest = blake2b(pack(told), digest_size=16).digest()
    return Prepared(shard, keys.nothing(shard), epoch, digest, told, len(of))


def grant_spec(
    org: str, currency: str, given: Grant, ttl_ms: int, epoch: int
) -> tuple[str | int, ...]:
    """Make the grant function's argument."""
    expires_ms = given.expires_ms or 0
    settles = given.kind == "paid" and not given.level
    of = (org, currency, given.id, given.kind, given.amount_micros, expires_ms)
    return (*of, ttl_ms, epoch, settles)


def position(line_id: bytes) -> tuple[int, int]:
    """Parse a stream record's id into (epoch, seq)."""
    epoch, _, seq = line_id.partition(b"-")
    return int(epoch), int(seq)


def reply_of(raw: Any) -> tuple[Reply, bytes | None]:
    """Decode the common part of a reply; its packed outcome, when there is one, comes second."""
    status, now_ms = raw[0], raw[1]
    if status in (Status.DONE, Status.ROOM):
        at = position(raw[3]) if len(raw) > 3 else None
        return Reply(Status(status), now_ms, position=at), raw[2]
    if status == Status.REPLAY:
        return Reply(Status.REPLAY, now_ms, body=raw[3]), raw[2]
    reply = Reply(Status(status), now_ms)
    if status == Status.STALE:
        reply.versions = _numbers(raw[2])
    elif status == Status.ENDED:
        reply.hold, reply.body = decode_hold(raw[2])
    return reply, None


def with_moved(raw: Any) -> tuple[Reply, bytes | None]:
    """Decode the reply of a function that moves funds outside requests, and its packed result."""
    reply, out = reply_of(raw)
    if out is not None:
        reply.moved = _moved(out)
    return reply, out


def kept_reply(value: bytes, digest: bytes, result: type[Outcome | Ended | Moved]) -> Reply:
    """Decode a stored result: digest, length of the result, result, body.

    The reply is a REPLAY, or REUSED where the digest is another one.
    """
    if value[:16] != digest:
        return Reply(Status.REUSED)
    (size,) = struct.unpack_from("<I", value, 16)
    out, reply = value[20 : 20 + size], Reply(Status.REPLAY, body=value[20 + size :])
    if result is Outcome:
        reply.outcome = outcome_of(out)
    elif result is Ended:
        reply.ended = ended_of(out)
    else:
        reply.moved = _moved(out)
    return reply
