"""What is added to a new window from the log: as much as counts, and what nobody counted yet."""

from __future__ import annotations

from gateway.catalog.declared_counters import Declared
from gateway.core.request_record import CountersRead
from gateway.core.velocity import COUNTED, DISTINCT, MOST_DISTINCT, SIGNAL
from gateway.flows.operations.velocity_backfill import PastOf
from gateway.flows.risk.velocity import VelocityCounters
from gateway.wire.records import StreamRecord, encode
from tests.unit.core.stories import Story

COST, COUNT = 'velocity.cost("org", 10m)', 'velocity.count("asn", 10m)'
DEVICES = 'velocity.distinct("device", by "org", 1h)'
SINCE = 7


def tallying(*names: str) -> VelocityCounters:
    return VelocityCounters(SINCE, dict.fromkeys(names, Declared(SINCE, is_warm=True)), b"")


def record(number: int, at_ms: int, version: int = 0) -> StreamRecord:
    """A decision of an org, told behind a change of rules, from a device of its own."""
    story = Story(quantity=None, amount=100)
    asked, out = story.asked(), story.outcome(None)
    asked.context = {"asn": 64500, "device": f"d{number}"}
    asked.tallied = CountersRead(version, ()) if version else None
    out.now_ms = at_ms
    return StreamRecord(0, 1, number, "authorize", encode(out), encode(asked))


NOW_MS = 1_800_000_000_000


def test_what_was_counted_already_is_left_out() -> None:
    found = PastOf(tallying(COST, COUNT), NOW_MS)
    found.add([record(1, NOW_MS), record(2, NOW_MS, SINCE - 1), record(3, NOW_MS, SINCE)])
    told = {past.tally.kind: past.buckets for past in found.all()}
    here = NOW_MS // 600_000
    assert told == {SIGNAL: {here: (2, 200)}, COUNTED: {here: (2, 200)}}


def test_what_counts_no_more_is_left_out() -> None:
    found = PastOf(tallying(COUNT, DEVICES), NOW_MS)
    found.add([record(1, NOW_MS - 3_600_000)])
    assert found.all() == []


def test_of_many_different_values_the_latest_are_kept() -> None:
    found = PastOf(tallying(DEVICES), NOW_MS)
    found.add([record(n, NOW_MS - 10_000 + n) for n in range(1_000)])
    (past,) = found.all()
    assert past.tally.kind == DISTINCT
    kept = sorted(past.members.values())
    assert kept == [NOW_MS - 10_000 + n for n in range(1_000 - MOST_DISTINCT, 1_000)]
