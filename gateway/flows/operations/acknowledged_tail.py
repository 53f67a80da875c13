"""Turn records that living gateways remember into what the ledger can accept."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.core.commands import Ended, Mode, Outcome
from gateway.core.holds import HoldStatus
from gateway.core.replay import hold_of
from gateway.core.request_record import RequestRecord
from gateway.ledger.batch import Position
from gateway.ledger.hot import HOLD, HotKey, HotRow, open_hold_of
from gateway.ledger.port import Written
from gateway.wire import records
from gateway.wire.records import LOST, StreamRecord


def after_ledger(offered: Iterable[StreamRecord], written: Written) -> list[StreamRecord]:
    """Select offered records that come after the ledger's cursor, each once, with holes as lost."""
    by_shard: dict[int, dict[Position, StreamRecord]] = {}
    for record in offered:
        by_shard.setdefault(record.shard, {})[record.epoch, record.seq] = record
    found: list[StreamRecord] = []
    for shard, lines in by_shard.items():
        newest = max(epoch for epoch, _ in lines)
        epoch, seq = written.cursors.get(shard, (newest, -1))
        wanted = [at for at in lines if at > (epoch, seq) and at[0] == epoch]
        for at in range(seq + 1, max((s for _, s in wanted), default=seq) + 1):
            found.append(lines.get((epoch, at)) or _lost(shard, epoch, at))
    return found


def _lost(shard: int, epoch: int, seq: int) -> StreamRecord:
    return StreamRecord(shard, epoch, seq, LOST, b"", b"")


def holds_named(lines: Iterable[StreamRecord]) -> list[HotKey]:
    """The holds that these records end or add to."""
    found: dict[str, HotKey] = {}
    for line in lines:
        _, out, note = records.read(line)
        name = hold_of(out, note) if out is not None else ""
        if name:
            org = note.terms.org if isinstance(note, RequestRecord) else getattr(out, "org", "")
            found[name] = (line.shard, HOLD, org, name)
    return list(found.values())


def sound(lines: Iterable[StreamRecord], saved: Iterable[HotRow]) -> list[StreamRecord]:
    """The same records, those lost whose hold was made or changed by a lost one.

    They would move money back that was never taken. `saved` are the holds that the ledger knows
    of those that are named.
    """
    held = {row.name: _held(row) for row in saved}
    found = []
    for line in lines:
        is_sound = _follows(line, held)
        found.append(line if is_sound else _lost(line.shard, line.epoch, line.seq))
    return found


def _held(row: HotRow) -> int:
    hold = open_hold_of(row).hold
    return hold.amount if hold.state is HoldStatus.held else 0


def _follows(line: StreamRecord, held: dict[str, int]) -> bool:
    """True if the record fits what its hold is known to have. Advances `held` past it."""
    _, out, note = records.read(line)
    if isinstance(out, Ended):
        if held.get(out.hold_id) != out.held:
            return False
        held[out.hold_id] = 0
    elif isinstance(out, Outcome) and isinstance(note, RequestRecord) and out.allowed:
        if note.extends and held.get(note.hold_id, -1) + note.amount != out.hold_amount:
            return False
        if note.mode == Mode.HOLD:
            held[note.hold_id] = out.hold_amount
    return True
