"""The hot state follows from the records: replayed, they say what the store holds."""

from __future__ import annotations

from hypothesis import given, settings

from gateway.core.commands import Ended, Moved, Outcome
from gateway.core.holds import LATE_CAPTURE_MS, Hold, HoldStatus
from gateway.core.replay import Changes, hold_of
from gateway.core.request_record import AdminNote, EndNote, RequestRecord
from gateway.wire import records
from tests.properties.life import Life, decoded
from tests.properties.test_postings import LIVES, live

MONEY = ("g/", "i/", "adjustments", "credit_line", "shortfall")
WINDOWS = ("co/", "cp/")


def replay(life: Life, changes: Changes, read: int) -> int:
    """Replay what is new; how far it was read."""
    for record in life.shard.records[read:]:
        out, note = decoded(record)
        if isinstance(out, Outcome):
            assert isinstance(note, RequestRecord)
            changes.outcome(note, out, records.brief_of(record.terms) + record.body)
        elif isinstance(out, Ended):
            changes.ended(out, note if isinstance(note, EndNote) else None)
        else:
            assert isinstance(out, Moved)
            changes.moved(out, note.grant if isinstance(note, AdminNote) else None)
        named = hold_of(out, note)
        assert not named or changes.knows(named), "a hold is known before it is changed"
    return len(life.shard.records)


def of_machine(life: Life) -> dict[str, object]:
    alive = life.shard.cells.alive(life.now_ms).items()
    found: dict[str, object] = {
        name: value for (_, name), value in alive if name.startswith((*MONEY, *WINDOWS))
    }
    for hold_id, (hold, note, until_ms) in life.shard.holds.items():
        if hold.state in (HoldStatus.held, HoldStatus.expired) and not 0 < until_ms <= life.now_ms:
            found[hold_id] = (records.encode_hold(hold), note, until_ms)
    for grant_id, (currency, meta) in life.shard.grants.get("acme", {}).items():
        found[f"grant {grant_id}"] = (currency, meta)
    return found


def of_changes(life: Life, changes: Changes) -> dict[str, object]:
    found: dict[str, object] = {}
    now_ms = life.now_ms
    for (_, name), balance in changes.balances.items():
        if not balance.is_gone and not 0 < balance.expires_ms <= now_ms:
            found[name] = balance.delta
    for (_, name), window in changes.windows.items():
        if not 0 < window.expires_ms <= now_ms:
            found[name] = (window.used, window.held)
    for name in {name for _, name, _ in changes.buckets}:
        of = {n: b.count for (_, known, n), b in changes.buckets.items() if known == name}
        newest = max(of)
        if (newest + 2) * changes.buckets["acme", name, newest].period_ms > now_ms:
            found[name] = (newest, of[newest], of.get(newest - 1, 0))
    for hold_id, standing in changes.holds():
        if standing is not None and not 0 < standing.until_ms <= now_ms:
            packed = records.encode_hold(standing.hold)
            found[hold_id] = (packed, standing.note, standing.until_ms)
    for (_, grant_id), given_ in changes.grants.items():
        if given_ is not None:
            found[f"grant {grant_id}"] = (given_.currency, records.encode(given_.grant))
    return found


@settings(max_examples=300, deadline=None)
@given(LIVES)
def test_replayed_records_give_the_hot_state_after_every_step(
    lived: tuple[bool, int, list[tuple[object, ...]]],
) -> None:
    is_free, credit_line, steps = lived
    life, changes, read = Life(is_free, credit_line), Changes(LATE_CAPTURE_MS), 0
    for step in steps:
        live(life, step)
        read = replay(life, changes, read)
        assert of_changes(life, changes) == of_machine(life), step


def test_a_packed_hold_is_read_as_it_was() -> None:
    hold = Hold(0, "acme", "acme", "USD", "gpt", 5, 1, 2, [], [])
    assert records.decode_hold(records.encode_hold(hold)) == hold
