"""A hold ends exactly once; its table says how, and the machine obeys it."""

from __future__ import annotations

from itertools import product

import pytest

from gateway.core import settle
from gateway.core.commands import Finish
from gateway.core.commands import Status as ReplyStatus
from gateway.core.holds import TRANSITIONS, Hold, HoldStatus, Step, Taken, status_at
from gateway.core.state import Shard
from tests.unit.core.making import NOON

EXPIRES = NOON + 300_000
ENDINGS = (Step.capture, Step.release, Step.expire)


def test_the_table_of_a_hold() -> None:
    held, captured, released, expired = HoldStatus
    assert {
        (held, Step.extend): held,
        (held, Step.capture): captured,
        (held, Step.release): released,
        (held, Step.expire): expired,
        (expired, Step.capture): captured,  # late, once
    } == TRANSITIONS


def test_what_was_captured_or_released_stays_so() -> None:
    for status, step in product((HoldStatus.captured, HoldStatus.released), Step):
        assert (status, step) not in TRANSITIONS


def test_no_hold_comes_back() -> None:
    assert HoldStatus.held not in {
        after for (status, _), after in TRANSITIONS.items() if status is not HoldStatus.held
    }


@pytest.mark.parametrize(
    ("status", "late_ms", "seen"),
    [
        ("held", -1, "held"),
        ("held", 0, "expired"),  # swept or not
        ("held", 1, "expired"),
        ("captured", 1, "captured"),
        ("released", 1, "released"),
        ("expired", -1, "expired"),
        ("expired", 1, "expired"),
    ],
)
def test_the_status_a_reader_sees(status: str, late_ms: int, seen: str) -> None:
    assert status_at(HoldStatus[status], EXPIRES, EXPIRES + late_ms) is HoldStatus[seen]


def shard_with(status: HoldStatus) -> Shard:
    """A shard with one hold of 100, taken from the adjustments balance."""
    shard = Shard()
    draws = [Taken("adjustments", 100, False)]
    hold = Hold(int(status), "acme", "acme", "USD", "gpt", 100, NOON, EXPIRES, draws, [])
    shard.holds["hold_1"] = (hold, b"asked", 0 if status is HoldStatus.held else EXPIRES + 10**7)
    if status is HoldStatus.held:
        shard.due["hold_1"] = EXPIRES
    return shard


def finish(shard: Shard, step: Step, now_ms: int) -> ReplyStatus:
    cost = 40 if step is Step.capture else 0
    order = Finish("acme", "hold_1", step, cost, has_sources=True)
    return settle.finish(shard, order, now_ms).status


@pytest.mark.parametrize(("status", "step"), [*product(HoldStatus, ENDINGS)], ids=lambda x: x.name)
def test_every_end_is_in_the_table_or_finds_the_hold_ended(status: HoldStatus, step: Step) -> None:
    shard = shard_with(status)
    now_ms = EXPIRES if step is Step.expire else NOON + 1
    before = shard.holds["hold_1"][0].status
    found = finish(shard, step, now_ms)
    if (status, step) in TRANSITIONS:
        assert found is ReplyStatus.DONE
        assert shard.holds["hold_1"][0].state is TRANSITIONS[status, step]
        assert len(shard.records) == 1
    else:
        assert found is ReplyStatus.ENDED
        assert shard.holds["hold_1"][0].status == before
        assert shard.records == []
        assert shard.cells.alive(now_ms) == {}


@pytest.mark.parametrize(("first", "second"), [*product(ENDINGS, ENDINGS)], ids=lambda s: s.name)
def test_of_two_ends_only_the_first_moves_money(first: Step, second: Step) -> None:
    """Except that an expired hold may be captured late, once."""
    shard = shard_with(HoldStatus.held)
    now_ms = EXPIRES if first is Step.expire else NOON + 1
    assert finish(shard, first, now_ms) is ReplyStatus.DONE
    is_late_capture = (first, second) == (Step.expire, Step.capture)
    wanted = ReplyStatus.DONE if is_late_capture else ReplyStatus.ENDED
    assert finish(shard, second, now_ms) is wanted
    assert len(shard.records) == (2 if is_late_capture else 1)
    if shard.holds["hold_1"][0].state is not HoldStatus.expired:
        for step in ENDINGS:
            assert finish(shard, step, now_ms) is ReplyStatus.ENDED


@pytest.mark.parametrize(
    ("step", "late_ms", "found"),
    [
        (Step.release, -1, ReplyStatus.DONE),
        (Step.release, 0, ReplyStatus.ENDED),  # due, though no sweep came yet
        (Step.capture, -1, ReplyStatus.DONE),
        (Step.capture, 0, ReplyStatus.DONE),
        (Step.expire, 0, ReplyStatus.DONE),
    ],
)
def test_a_hold_that_is_due_but_not_swept_can_only_be_captured_or_swept(
    step: Step, late_ms: int, found: ReplyStatus
) -> None:
    shard = shard_with(HoldStatus.held)
    assert finish(shard, step, EXPIRES + late_ms) is found
    assert shard.holds["hold_1"][0].late == (step is Step.capture and late_ms == 0)


def test_nothing_expires_before_its_time() -> None:
    shard = shard_with(HoldStatus.held)
    assert settle.sweep(shard, EXPIRES - 1, 10) == 0
    assert settle.sweep(shard, EXPIRES, 10) == 1
    assert shard.holds["hold_1"][0].state is HoldStatus.expired
    assert settle.sweep(shard, EXPIRES, 10) == 0


def test_a_hold_nobody_knows_is_missing() -> None:
    assert finish(Shard(), Step.release, NOON) is ReplyStatus.MISSING


def test_an_ended_hold_answers_until_its_time_in_the_store_is_over() -> None:
    shard = shard_with(HoldStatus.held)
    settle.finish(shard, Finish("acme", "hold_1", Step.release, keep_ms=600_000), NOON + 1)
    assert shard.hold("hold_1", NOON + 600_000) is not None
    assert shard.hold("hold_1", NOON + 600_001) is None


@pytest.mark.parametrize(
    ("step", "cost", "captured", "released", "shortfall", "back"),
    [
        (Step.release, 0, 0, 100, 0, 100),
        (Step.capture, 0, 0, 100, 0, 100),
        (Step.capture, 40, 40, 60, 0, 60),
        (Step.capture, 100, 100, 0, 0, 0),
        (Step.capture, 130, 100, 0, 30, 0),  # nothing is left to draw the excess from
    ],
)
def test_captured_and_shortfall_are_the_cost_and_the_rest_comes_back(
    step: Step, cost: int, captured: int, released: int, shortfall: int, back: int
) -> None:
    shard = shard_with(HoldStatus.held)
    order = Finish("acme", "hold_1", step, cost, has_sources=True)
    ended = settle.finish(shard, order, NOON + 1).ended
    assert ended is not None
    assert (ended.captured, ended.released, ended.shortfall) == (captured, released, shortfall)
    assert (shard.cells.get("acme", "adjustments", NOON + 1) or 0) == back
    assert (shard.cells.get("acme", "shortfall", NOON + 1) or 0) == shortfall
