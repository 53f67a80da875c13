"""Steps that every function of the reference machine shares."""

from __future__ import annotations

import copy

from gateway.core.commands import Ended, Idempotency, Moved, Outcome, Part, Reply, Status, Version
from gateway.core.counters import Source
from gateway.core.state import Record, Shard, StoredResult


def precheck(shard: Shard, org: str, idempotency: Idempotency | None, now_ms: int) -> Reply | None:
    """Return CLOSED, REPLAY or REUSED as a reply; None when the call is new."""
    if not shard.is_open:
        return Reply(Status.CLOSED, now_ms)
    kept = shard.cells.get(org, idempotency.name, now_ms) if idempotency else None
    if kept is None or idempotency is None:
        return None
    digest, result, body = kept
    if digest != idempotency.digest:
        return Reply(Status.REUSED, now_ms)
    reply = Reply(Status.REPLAY, now_ms, body=body)
    if isinstance(result, Outcome):
        reply.outcome = result
    elif isinstance(result, Moved):
        reply.moved = result
    else:
        reply.ended = result
    return reply


def stale(
    shard: Shard, versions: tuple[Version, ...], from_ms: int, until_ms: int, now_ms: int
) -> Reply | None:
    """Return STALE with the versions found, or None when they and the time are the plan's.

    The plan is valid in [from_ms, until_ms), Unix ms.
    """
    found = tuple(shard.versions.get((v.kind, v.id), 0) for v in versions)
    if found != tuple(v.expected for v in versions) or not from_ms <= now_ms < until_ms:
        return Reply(Status.STALE, now_ms, found)
    return None


def record(
    shard: Shard,
    org: str,
    what: tuple[str, Outcome | Ended | Moved],
    body: bytes,
    idempotency: Idempotency | None,
    *,
    terms: bytes = b"",
) -> tuple[int, int]:
    """Append a record, and store its result under the idempotency key.

    `what` is the record's kind and result. Returns its (epoch, seq).
    """
    kind, out = what
    kept = None
    if idempotency is not None:
        kept = StoredResult(idempotency.name, idempotency.digest, out.now_ms + idempotency.ttl_ms)
        value = (kept.digest, copy.deepcopy(out), terms + body)
        shard.cells.replace(org, kept.name, value, kept.expires_ms)
    shard.records.append(Record(kind, out, body, terms, org, kept))
    return shard.epoch, len(shard.records) - 1


def draw(sources: tuple[Source, ...], funds: list[int], amount: int) -> tuple[list[int], int]:
    """Take an amount from the sources in their order, from each down to its floor.

    Returns what is taken from each source, and what is left unpaid; all in micros.
    """
    taken = []
    for source, value in zip(sources, funds, strict=True):
        part = min(max(0, value - source.floor), amount)
        taken.append(part)
        amount -= part
    return taken, amount


def parts_of(sources: tuple[Source, ...], draws: list[int]) -> list[Part]:
    """List what was drawn, for the record."""
    pairs = zip(sources, draws, strict=True)
    return [Part(s.name, part, False, s.expires_ms) for s, part in pairs if part]


def pay(
    shard: Shard,
    org: str,
    sources: tuple[Source, ...],
    funds: list[int],
    draws: list[int],
    now_ms: int,
) -> None:
    """Lower each balance by what was drawn from it."""
    for source, value, part in zip(sources, funds, draws, strict=True):
        if part:
            shard.cells.put(org, source.name, value - part, now_ms, source.expires_ms)
