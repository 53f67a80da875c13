"""How holds and grants end: what is kept, what goes back where, what is taken out of counters."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core import settle
from gateway.core.commands import Ended, Finish, Idempotency, Part, Reply, Status
from gateway.core.counters import GAUGE, MONEY, SLIDING, TOKENS, WINDOW, Source
from gateway.core.holds import Counted, Hold, Step, Taken, add_counted
from gateway.core.money import MAX_MICROS
from gateway.core.state import Shard
from tests.unit.core.making import NOON

EXPIRES = NOON + 300_000
MINUTE = 60_000
BUCKET = NOON // MINUTE
SOURCES = (Source("adjustments"), Source("credit_line", -50))


class World:
    """A shard with one hold of 100, of 50 tokens, in the bucket of noon."""

    def __init__(self, *draws: Taken, book: str = "acme", more: Counted | None = None) -> None:
        self.shard = Shard()
        self.counted = [
            *([more] if more is not None else []),
            Counted("co/daily", WINDOW, 100, 0, 0),
            Counted("ro/tokens", SLIDING, 50, BUCKET, MINUTE),
            Counted("held", GAUGE, 100, 0, 0),
        ]
        taken = list(draws) or [Taken("adjustments", 100, False)]
        hold = Hold(0, "acme", book, "USD", "gpt", 100, NOON, EXPIRES, taken, self.counted)
        self.shard.holds["hold_1"] = (hold, b"asked", 0)
        self.shard.due["hold_1"] = EXPIRES

    def put(self, **values: Any) -> World:
        for name, value in values.items():
            self.shard.cells.put("acme", name.replace("__", "/"), value, NOON)
        return self

    def get(self, name: str, now_ms: int = NOON) -> Any:
        return self.shard.cells.get("acme", name, now_ms)

    def finish(self, step: Step, cost: int = 0, now_ms: int = NOON, **more: Any) -> Reply:
        given = {"sources": SOURCES, "has_sources": True, **more}
        return settle.finish(self.shard, Finish("acme", "hold_1", step, cost, **given), now_ms)

    def ended(self, step: Step, cost: int = 0, now_ms: int = NOON, **more: Any) -> Ended:
        reply = self.finish(step, cost, now_ms, **more)
        assert reply.status is Status.DONE and reply.ended is not None
        return reply.ended


# Counters.


@pytest.mark.parametrize(
    ("step", "cost", "after"),
    [
        (Step.release, 0, (10, 50)),
        (Step.expire, 0, (10, 50)),
        (Step.capture, 0, (10, 50)),
        (Step.capture, 40, (50, 50)),
        (Step.capture, 100, (110, 50)),
        (Step.capture, 130, (140, 50)),  # over-captures and shortfalls count as used
    ],
)
def test_what_was_held_in_a_cap_becomes_what_was_used(
    step: Step, cost: int, after: tuple[int, int]
) -> None:
    world = World().put(co__daily=(10, 150))
    world.ended(step, cost)
    assert world.get("co/daily") == after


def test_a_late_capture_counts_as_used_but_nothing_was_held_any_more() -> None:
    world = World().put(co__daily=(10, 150))
    world.ended(Step.expire, now_ms=EXPIRES)
    assert world.get("co/daily") == (10, 50)
    world.ended(Step.capture, 40, now_ms=EXPIRES)
    assert world.get("co/daily") == (50, 50)


def test_a_window_that_is_gone_is_not_made_again() -> None:
    world = World()
    world.ended(Step.capture, 40)
    assert world.get("co/daily") is None
    assert world.get("ro/tokens") is None


@pytest.mark.parametrize(("open_now", "after"), [(100, None), (130, 30), (60, None)])
def test_a_gauge_is_lowered_once_and_goes_when_nothing_is_left(
    open_now: int, after: int | None
) -> None:
    world = World().put(held=open_now)
    world.ended(Step.release)
    assert world.get("held") == after


@pytest.mark.parametrize(
    ("step", "tokens", "buckets_later", "after"),
    [
        (Step.release, -1, 0, (BUCKET, 30, 7)),
        (Step.expire, -1, 0, (BUCKET, 30, 7)),
        (Step.capture, 50, 0, (BUCKET, 80, 7)),
        (Step.capture, 20, 0, (BUCKET, 50, 7)),  # less than was estimated
        (Step.capture, 90, 0, (BUCKET, 120, 7)),  # or more
        (Step.capture, -1, 0, (BUCKET, 80, 7)),  # money says nothing of tokens
        (Step.capture, 20, 1, (BUCKET + 1, 80, 0)),  # the hold's bucket is the older one now
        (Step.release, -1, 2, (BUCKET + 2, 80, 7)),  # nor is it that any more
    ],
)
def test_tokens_are_corrected_in_the_bucket_they_were_counted_in(
    step: Step, tokens: int, buckets_later: int, after: tuple[int, int, int]
) -> None:
    world = World().put(ro__tokens=(BUCKET + buckets_later, 80, 7))
    world.ended(step, finals={TOKENS: tokens} if tokens >= 0 else {})
    if buckets_later == 1:
        assert world.get("ro/tokens") == (BUCKET + 1, 80, max(0, 7 + tokens - 50))
    else:
        assert world.get("ro/tokens") == after


@pytest.mark.parametrize(
    ("measure", "finals", "used"),
    [
        ("images", {"images": 3}, 13),
        ("images", {"images": 90}, 100),
        ("images", {}, 60),  # money says nothing of images: the estimate stays
        ("images", {TOKENS: 3}, 60),
        (MONEY, {}, 50),
        (TOKENS, {TOKENS: 7}, 17),  # tokens in a window of the calendar
        (-1, {TOKENS: 7}, 50),  # a hold of an earlier version: its windows counted money
    ],
)
def test_a_window_keeps_what_its_own_measure_finally_was(
    measure: int | str, finals: dict[int | str, int], used: int
) -> None:
    world = World(more=Counted("co/images", WINDOW, 50, 0, 0, measure)).put(co__images=(10, 50))
    world.ended(Step.capture, 40, finals=finals)
    assert world.get("co/images") == (used, 0)


@pytest.mark.parametrize(
    ("measure", "finals", "after"),
    [(MONEY, {}, 70), ("images", {"images": 9}, 39), ("a+b", {}, 80)],
)
def test_a_sliding_counter_keeps_it_too(
    measure: int | str, finals: dict[int | str, int], after: int
) -> None:
    counted = Counted("co/any", SLIDING, 50, BUCKET, MINUTE, measure)
    world = World(more=counted).put(co__any=(BUCKET, 80, 7))
    world.ended(Step.capture, 40, finals=finals)
    assert world.get("co/any") == (BUCKET, after, 7)


def test_a_late_capture_in_money_counts_the_units_that_were_held() -> None:
    world = World(more=Counted("co/images", WINDOW, 50, 0, 0, "images")).put(co__images=(10, 50))
    world.ended(Step.expire, now_ms=EXPIRES)
    assert world.get("co/images") == (10, 0)
    world.ended(Step.capture, 40, now_ms=EXPIRES)
    assert world.get("co/images") == (60, 0)


@pytest.mark.parametrize(
    ("step", "cost", "after"),
    [
        (Step.release, 0, (BUCKET + 1, 30, 0)),  # what others used in this bucket stays
        (Step.capture, 70, (BUCKET + 1, 30, 70)),
        (Step.capture, 91, (BUCKET + 1, 31, 90)),
        (Step.capture, 95, (BUCKET + 1, 35, 90)),
    ],
)
def test_what_an_extend_added_later_is_taken_out_where_it_was_counted(
    step: Step, cost: int, after: tuple[int, int, int]
) -> None:
    parts = [
        Counted("co/any", SLIDING, n, BUCKET + at, MINUTE, MONEY) for at, n in ((0, 90), (1, 1))
    ]
    world = World().put(co__any=(BUCKET + 1, 31, 90))
    world.counted[:0] = parts
    world.ended(step, cost)
    assert world.get("co/any") == after


def test_a_hold_remembers_no_more_buckets_than_its_counters_have() -> None:
    hold = World().shard.holds["hold_1"][0]
    for at in range(50):
        add_counted(hold, Counted("ro/any", SLIDING, 1, BUCKET + at, MINUTE, MONEY))
    own = [(one.bucket - BUCKET, one.amount) for one in hold.counted if one.name == "ro/any"]
    assert own == [(47, 48), (48, 1), (49, 1)]


# Money.

QUOTA, GRANT = Taken("i/daily/1", 60, True), Taken("g/a", 40, True)


@pytest.mark.parametrize(
    ("cost", "kept", "back"),
    [
        (0, [], [Part("i/daily/1", 60), Part("g/a", 40)]),
        (30, [Part("i/daily/1", 30)], [Part("i/daily/1", 30), Part("g/a", 40)]),
        (60, [Part("i/daily/1", 60)], [Part("g/a", 40)]),
        (70, [Part("i/daily/1", 60), Part("g/a", 10)], [Part("g/a", 30)]),
        (100, [Part("i/daily/1", 60), Part("g/a", 40)], []),
    ],
)
def test_a_partial_capture_keeps_the_first_draws_and_gives_back_the_last(
    cost: int, kept: list[Part], back: list[Part]
) -> None:
    world = World(QUOTA, GRANT).put(i__daily__1=-60, g__a=5)
    ended = world.ended(Step.capture, cost)
    assert (ended.kept, ended.back, ended.excess) == (kept, back, [])
    returned = {part.name: part.amount for part in back}
    assert world.get("i/daily/1") == -60 + returned.get("i/daily/1", 0)
    assert world.get("g/a") == 5 + returned.get("g/a", 0)


def test_what_comes_back_to_something_that_has_ended_ends_with_it() -> None:
    world = World(QUOTA, GRANT, Taken("adjustments", 0, False))
    ended = world.ended(Step.release)
    assert ended.back == [Part("i/daily/1", 60, gone=True), Part("g/a", 40, gone=True)]
    assert (world.get("i/daily/1"), world.get("g/a")) == (None, None)


def test_what_has_no_end_takes_back_even_where_nothing_stands() -> None:
    world = World()
    assert world.ended(Step.release).back == [Part("adjustments", 100)]
    assert world.get("adjustments") == 100


@pytest.mark.parametrize(("left", "bumps"), [(0, True), (5, False), (None, False)])
def test_a_used_up_grant_that_has_money_again_makes_plans_stale(
    left: int | None, bumps: bool
) -> None:
    """Plans leave used-up grants out."""
    world = World(QUOTA, GRANT)
    if left is not None:
        world.put(g__a=left)
    world.ended(Step.release)
    assert world.shard.versions.get(("grants", "acme"), 0) == bumps


def test_what_exceeds_the_hold_is_drawn_in_order_and_the_rest_is_owed() -> None:
    world = World().put(adjustments=20, shortfall=5)
    ended = world.ended(Step.capture, 200)
    assert ended.excess == [Part("adjustments", 20), Part("credit_line", 50)]
    assert (ended.captured, ended.shortfall, ended.released) == (170, 30, 0)
    assert (world.get("adjustments"), world.get("credit_line")) == (0, -50)
    assert world.get("shortfall") == 35


def test_a_late_capture_is_paid_whole_from_today_s_funds() -> None:
    world = World()
    world.ended(Step.expire, now_ms=EXPIRES)
    assert world.get("adjustments", EXPIRES) == 100
    ended = world.ended(Step.capture, 70, now_ms=EXPIRES)
    assert (ended.held, ended.captured, ended.late) == (0, 70, True)
    assert (ended.kept, ended.excess) == ([], [Part("adjustments", 70)])
    assert world.get("adjustments", EXPIRES) == 30


def test_a_free_user_owes_nothing_that_is_kept_for_it() -> None:
    world = World(book="~free")
    assert world.ended(Step.capture, 130, sources=()).shortfall == 30
    assert world.get("shortfall") is None


def test_a_capture_above_the_hold_needs_to_know_today_s_funds() -> None:
    world = World()
    assert world.finish(Step.capture, 101, has_sources=False).status is Status.STALE
    late = {"valid_until_ms": NOON}
    assert world.finish(Step.capture, 101, **late).status is Status.STALE
    assert world.finish(Step.capture, 100, has_sources=False, **late).status is Status.DONE


def test_a_debt_beyond_the_range_is_refused_and_nothing_moves() -> None:
    world = World().put(shortfall=MAX_MICROS - 10, co__daily=(0, 100), held=100)
    before = world.shard.cells.alive(NOON)
    assert world.finish(Step.capture, 200).status is Status.RANGE
    assert world.shard.cells.alive(NOON) == before
    assert world.shard.records == []


# Once.


def test_the_same_call_again_gets_the_first_answer_and_changes_nothing() -> None:
    world = World().put(co__daily=(0, 100))
    once = {"idempotency": Idempotency("k/1", b"a" * 16, 1000), "body": b"note"}
    first = world.ended(Step.capture, 40, **once)
    before = world.shard.cells.alive(NOON)
    again = world.finish(Step.capture, 40, **once)
    assert (again.status, again.ended, again.body) == (Status.REPLAY, first, b"note")
    other = {"idempotency": Idempotency("k/1", b"b" * 16, 1000)}
    assert world.finish(Step.capture, 40, **other).status is Status.REUSED
    assert world.shard.cells.alive(NOON) == before
    assert len(world.shard.records) == 1


def test_a_closed_shard_ends_nothing() -> None:
    world = World()
    world.shard.is_open = False
    assert world.finish(Step.release).status is Status.CLOSED
    assert settle.sweep(world.shard, EXPIRES, 10) == 0
    assert world.shard.records == []


# The sweep.


def test_a_sweep_ends_what_is_due_the_earliest_first_and_no_more_than_it_may() -> None:
    world = World()
    shard = world.shard
    for name, at_ms in (("hold_2", EXPIRES - 2), ("hold_3", EXPIRES - 1), ("hold_4", EXPIRES + 9)):
        hold = Hold(0, "acme", "acme", "USD", "gpt", 0, NOON, at_ms, [], [])
        shard.holds[name] = (hold, b"", 0)
        shard.due[name] = at_ms
    assert settle.sweep(shard, EXPIRES, 2) == 2
    assert [r.out.hold_id for r in shard.records if isinstance(r.out, Ended)] == [
        "hold_2", "hold_3",
    ]  # fmt: skip
    assert settle.sweep(shard, EXPIRES, 2) == 1
    assert set(shard.due) == {"hold_4"}


@pytest.mark.parametrize("left", [40, 0])
def test_a_grant_lapses_with_what_is_left_of_it(left: int) -> None:
    world = World().put(g__a=left)
    shard = world.shard
    shard.grants["acme"] = {"a": ("EUR", b"meta")}
    shard.due["grant/acme/a"] = NOON
    assert settle.sweep(shard, NOON, 10) == 1
    (record,) = shard.records
    assert (record.kind, record.out.kind, record.out.amount) == ("lapse", "lapse", -left)  # type: ignore[union-attr]  # a lapse moves
    assert record.out.currency == "EUR"
    assert (world.get("g/a"), shard.grants["acme"]) == (None, {})
    assert shard.versions["grants", "acme"] == 1
    assert "grant/acme/a" not in shard.due
