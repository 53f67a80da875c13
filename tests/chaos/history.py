"""A recorded history against the order the store gave it: each answer follows, and time agrees.

Each decision carries its place in its shard. Replayed in that order the records must say what each
decision saw and the answer it got; and a call that ended before another began stands before it.
Both take one pass.

What nobody heard and every disk lost is a hole in the order. Whoever was answered behind it saw
what it did, which nobody knows: up to the next epoch, which begins without it, only the answers
are compared.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from gateway.core.commands import Ended, Moved, Outcome
from gateway.core.holds import LATE_CAPTURE_MS
from gateway.core.replay import Changes
from gateway.core.request_record import AdminNote, EndNote, RequestRecord
from gateway.flows.decisions.replay import replayed
from gateway.flows.risk.policies import NOTHING_CITED, Cited
from gateway.ledger.history import History
from gateway.sql.engine import open_engine
from gateway.wire import records
from rules.engine import Phased
from rules.ruleset import load
from tests.chaos import world
from tests.chaos.world import Heard

AT_A_TIME = 5_000
RULES = Cited(Phased(load(world.RULES)))


async def check(directory: Path, heard: Heard) -> tuple[int, int]:
    """Check a stopped deployment's ledger beside what callers heard; how many answers and holes."""
    engine = open_engine(f"sqlite:///{directory / 'ledger.db'}")
    history, row = History(engine), 0
    shards: dict[int, _Shard] = {}
    try:
        while lines := await history.lines(row, AT_A_TIME):
            row += len(lines)
            for line in lines:
                shard = shards.setdefault(line.shard, _Shard(heard))
                shard.take(line)
    finally:
        await engine.dispose()
    found = shards.values()
    return sum(shard.checked for shard in found), sum(shard.holes for shard in found)


class _Shard:
    """One shard as its records tell it so far."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._changes = Changes(LATE_CAPTURE_MS)
        self._latest_begin = (0.0, "")
        self._holed_epoch = 0
        self.checked = 0
        self.holes = 0

    def take(self, line: records.StreamRecord) -> None:
        _, out, note = records.read(line)
        if line.kind == records.LOST:
            self._holed_epoch = line.epoch
            self.holes += 1
        if isinstance(out, Outcome) and isinstance(note, RequestRecord):
            if line.epoch != self._holed_epoch:
                self._compare(note, out)
            self._compare_answer(note, out)
            self._changes.outcome(note, out, records.brief_of(line.terms) + line.body)
        elif isinstance(out, Ended):
            self._changes.ended(out, note if isinstance(note, EndNote) else None)
        elif isinstance(out, Moved):
            self._changes.moved(out, note.grant if isinstance(note, AdminNote) else None)

    def _compare(self, asked: RequestRecord, out: Outcome) -> None:
        org, changes = asked.terms.org, self._changes
        for source, funds in zip(asked.terms.sources, out.funds, strict=True):
            known = changes.balances.get((org, source.name))
            booked = known.delta if known else 0
            assert funds == booked, f"{asked.id} saw {funds} in {source.name}, not {booked}"
        for n, limit in enumerate(asked.terms.limits):
            if limit.kind == "cap":
                window = changes.windows.get((org, limit.name))
                seen = tuple(out.readings[2 * n : 2 * n + 2])
                assert seen == ((window.used, window.held) if window else (0, 0)), (asked.id, limit)

    def _compare_answer(self, asked: RequestRecord, out: Outcome) -> None:
        answer = self._heard.decisions.get(asked.id)
        if answer is None:
            return
        found = replayed(asked, out, RULES if asked.risk else NOTHING_CITED, ())
        assert msgspec.json.decode(msgspec.json.encode(found.recorded[0])) == answer, asked.id
        assert found.is_same, f"{asked.id} is not the same when it is made again"
        begin, end = self._heard.times[asked.id]
        latest, name = self._latest_begin
        assert end >= latest, f"{asked.id} ended before {name} began, and stands behind it"
        self._latest_begin = max(self._latest_begin, (begin, asked.id))
        self.checked += 1
