"""Whatever was forgotten of a life, what is handed in of it leaves books that agree."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.commands import Ended, Moved, Outcome
from gateway.core.holds import LATE_CAPTURE_MS, HoldStatus
from gateway.core.postings import balance_of, of_ended, of_moved, of_outcome
from gateway.core.replay import Changes
from gateway.core.request_record import AdminNote, EndNote, RequestRecord
from gateway.flows.operations.acknowledged_tail import after_ledger, sound
from gateway.ledger.batch import Head
from gateway.ledger.port import Written
from gateway.wire import records
from gateway.wire.records import LOST, StreamRecord
from tests.properties.life import Life
from tests.properties.test_postings import LIVES, live

NOTHING = Written(Head(), {0: (1, -1)}, {}, 0)


def lines_of(life: Life) -> list[StreamRecord]:
    return [
        StreamRecord(0, 1, seq, r.kind, records.encode(r.out), r.body, r.terms)
        for seq, r in enumerate(life.shard.records)
    ]


def held_by_postings_and_by_holds(lines: list[StreamRecord]) -> tuple[int, int]:
    changes, held = Changes(LATE_CAPTURE_MS), 0
    for _, out, note in map(records.read, lines):
        if isinstance(out, Outcome) and isinstance(note, RequestRecord):
            postings = of_outcome(note, out)
            changes.outcome(note, out, records.encode(note))
        elif isinstance(out, Ended):
            postings = of_ended(out)
            changes.ended(out, note if isinstance(note, EndNote) else None)
        elif isinstance(out, Moved):
            postings = of_moved(out)
            changes.moved(out, note.grant if isinstance(note, AdminNote) else None)
        else:
            continue
        for posting in postings:
            for account, sides in ((posting.debit, (1, 0)), (posting.credit, (0, 1))):
                if account.kind == "held":
                    debit, credit = (side * posting.amount_micros for side in sides)
                    held += balance_of("held", debit, credit)
    standing = (found.hold for _, found in changes.holds() if found is not None)
    return held, sum(hold.amount for hold in standing if hold.state is HoldStatus.held)


@settings(max_examples=300, deadline=None)
@given(LIVES, st.integers(0, 2**41 - 1))
def test_no_hold_gives_back_what_no_record_took(
    lived: tuple[bool, int, list[tuple[object, ...]]], forgotten: int
) -> None:
    is_free, credit_line, steps = lived
    life = Life(is_free, credit_line)
    for step in steps:
        live(life, step)
    whole = lines_of(life)
    offered = [line for line in whole if not forgotten >> line.seq & 1]
    lines = sound(after_ledger(offered, NOTHING), [])
    by_postings, by_holds = held_by_postings_and_by_holds(lines)
    assert by_postings == by_holds
    if offered == whole:
        assert lines == whole


def test_holes_are_filled_and_what_the_ledger_has_is_left_out() -> None:
    made = [StreamRecord(3, 2, seq, "authorize", b"", b"") for seq in (4, 6, 4, 9)]
    older = StreamRecord(3, 1, 8, "authorize", b"", b"")
    found = after_ledger([*made, older], Written(Head(), {3: (2, 4)}, {}, 0))
    told = [(line.epoch, line.seq, line.kind == LOST) for line in found]
    assert told == [(2, 5, True), (2, 6, False), (2, 7, True), (2, 8, True), (2, 9, False)]
