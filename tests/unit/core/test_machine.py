"""What store functions mean, where a random life through both stores would not show it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core import machine
from gateway.core.commands import (
    AdjustOrder,
    GrantOrder,
    Mode,
    Outcome,
    Part,
    Plan,
    PlanTemplate,
    Reply,
    Status,
    Version,
    VoidOrder,
)
from gateway.core.counters import GAUGE, MONEY, ONE, SLIDING, SLOT, WINDOW, Counter, Source
from gateway.core.entities import Grant, GrantKind
from gateway.core.holds import Hold
from gateway.core.machine_steps import draw
from gateway.core.state import Shard
from tests.unit.core.making import NOON

DAY_END = NOON + 43_200_000
DAILY = Counter("co/daily", WINDOW, MONEY, 1_000, DAY_END + 7_200_000, True)
RATE = Counter("ro/rate", SLIDING, ONE, 2, 60_000)
OPEN = Counter("ro/open", GAUGE, SLOT, 1, 0, True)
COUNTERS = (DAILY, RATE, OPEN)
SOURCES = (Source("g/a", perishable=True), Source("adjustments"))


def needs(**more: Any) -> PlanTemplate:
    given = {
        "counters": COUNTERS,
        "sources": SOURCES,
        "versions": (Version("org", "acme", 0),),
        "signals": ("o",),
        "valid_from_ms": NOON - 1_000,
        "valid_until_ms": NOON + 1_000,
        **more,
    }
    return PlanTemplate("acme", "acme", "USD", "gpt", **given)


def plan(amount: int = 100, mode: Mode = Mode.HOLD, name: str = "hold_1", **more: Any) -> Plan:
    settles = mode is Mode.CAPTURE
    shares = (amount, 1, 0, 0 if settles else 1, 0 if settles else amount)
    given = {"not_after_ms": NOON + 500, "hold_ttl_ms": 60_000, "asked": b"asked", **more}
    return Plan(given.pop("needs", needs()), name, amount, shares, mode=mode, **given)


def shard(**balances: int) -> Shard:
    made = Shard()
    for name, value in ({"g__a": 300, "adjustments": 500} | balances).items():
        made.cells.put("acme", name.replace("__", "/"), value, NOON)
    return made


def picture(of: Shard, now_ms: int = NOON) -> object:
    """All but signals and records."""
    alive = of.cells.alive(now_ms).items()
    return {k: v for k, v in alive if not k[1].startswith("s/")}, dict(of.holds), dict(of.due)


def outcome(reply: Reply) -> Outcome:
    assert reply.status is Status.DONE and reply.outcome is not None
    return reply.outcome


@pytest.mark.parametrize(
    ("funds", "amount", "draws", "rest"),
    [
        ([300, 500], 0, [0, 0], 0),
        ([300, 500], 100, [100, 0], 0),
        ([300, 500], 400, [300, 100], 0),
        ([300, 500], 900, [300, 500], 100),
        ([-20, 500], 100, [0, 100], 0),  # below its floor a source gives nothing, not less
    ],
)
def test_sources_are_drawn_in_order_down_to_their_floor(
    funds: list[int], amount: int, draws: list[int], rest: int
) -> None:
    assert draw(SOURCES, funds, amount) == (draws, rest)


def test_a_source_with_a_floor_below_zero_gives_more_than_it_holds() -> None:
    assert draw((Source("i/x", -100), Source("credit_line", -50)), [-30, 0], 130) == ([70, 50], 10)


def test_an_allowed_request_takes_its_money_and_is_counted() -> None:
    world = shard()
    told = outcome(machine.authorize(world, plan(400), NOON))
    assert (told.allowed, told.draws, told.funds) == (True, [300, 100], [300, 500])
    assert (told.hold_amount, told.hold_expires_ms) == (400, NOON + 60_000)
    assert world.cells.get("acme", "g/a", NOON) == 0
    assert world.cells.get("acme", "adjustments", NOON) == 400
    assert world.cells.get("acme", "co/daily", NOON) == (0, 400)
    assert world.cells.get("acme", "ro/open", NOON) == 1
    assert world.due == {"hold_1": NOON + 60_000}


def test_what_settles_at_once_is_used_and_leaves_no_hold() -> None:
    world = shard()
    told = outcome(machine.authorize(world, plan(400, Mode.CAPTURE), NOON))
    assert (told.allowed, told.hold_amount, told.hold_expires_ms) == (True, 0, 0)
    assert world.cells.get("acme", "co/daily", NOON) == (400, 0)
    assert world.cells.get("acme", "ro/open", NOON) is None
    assert (world.holds, world.due) == ({}, {})


REFUSED = [
    plan(801),  # no cap bears more than 1,000, the funds not more than 800
    plan(1_001, needs=needs(sources=(Source("adjustments", -(10**6)),))),
    plan(refused=True),
    plan(needs=needs(counters=(Counter("co/none", WINDOW, MONEY, 0),))),
]


@pytest.mark.parametrize("asked", REFUSED)
def test_a_refused_request_leaves_a_record_and_nothing_else(asked: Plan) -> None:
    world = shard()
    before = picture(world)
    assert not outcome(machine.authorize(world, asked, NOON)).allowed
    assert picture(world) == before
    assert [r.kind for r in world.records] == ["authorize"]
    assert world.cells.get("acme", "s/o", NOON) is not None, "the attempt is counted"


def test_a_request_that_one_limit_denies_uses_up_none_of_the_others() -> None:
    """S10: A runs, B is denied by concurrency, A ends, C passes the rate limit of 2."""
    world = shard()
    assert outcome(machine.authorize(world, plan(1, name="a"), NOON)).allowed
    assert not outcome(machine.authorize(world, plan(1, name="b"), NOON)).allowed
    world.cells.drop("acme", "ro/open")
    assert outcome(machine.authorize(world, plan(1, name="c"), NOON)).allowed
    world.cells.drop("acme", "ro/open")
    assert not outcome(machine.authorize(world, plan(1, name="d"), NOON)).allowed


@pytest.mark.parametrize("asked", [plan(1, Mode.DRY), plan(10**6, Mode.DRY)])
def test_a_dry_run_changes_nothing_and_is_not_recorded(asked: Plan) -> None:
    world = shard()
    machine.authorize(world, asked, NOON)
    assert picture(world) == picture(shard())
    assert world.records == []
    assert world.cells.get("acme", "s/o", NOON) is None


def test_a_probe_that_is_refused_tells_the_room_and_changes_nothing() -> None:
    world = shard()
    reply = machine.authorize(world, plan(900, probe=True), NOON)
    assert reply.status is Status.ROOM
    assert reply.outcome is not None and reply.outcome.funds == [300, 500]
    assert (picture(world), world.records) == (picture(shard()), [])
    assert machine.authorize(world, plan(800, probe=True), NOON).status is Status.DONE


@pytest.mark.parametrize(
    ("now_ms", "status"),
    [
        (NOON - 1_001, Status.STALE),
        (NOON - 1_000, Status.DONE),
        (NOON + 499, Status.DONE),
        (NOON + 500, Status.STALE),  # nobody waits for the answer any more
    ],
)
def test_a_plan_runs_within_its_time_alone(now_ms: int, status: Status) -> None:
    world = shard()
    assert machine.authorize(world, plan(), now_ms).status is status
    assert bool(world.records) == (status is Status.DONE)


def test_a_plan_of_another_version_is_stale_and_hears_which_stands() -> None:
    world = shard()
    world.versions["org", "acme"] = 7
    reply = machine.authorize(world, plan(), NOON)
    assert (reply.status, reply.versions) == (Status.STALE, (7,))
    assert picture(world) == picture(shard())


# Extending.


def extended(world: Shard, amount: int, ttl_ms: int = 0, now_ms: int = NOON) -> Reply:
    asked = plan(amount, extends=True, hold_ttl_ms=ttl_ms, needs=needs(counters=(DAILY,)))
    return machine.authorize(world, asked, now_ms)


def hold(world: Shard) -> Hold:
    return world.holds["hold_1"][0]


def test_an_extend_adds_to_the_hold_and_to_what_it_took() -> None:
    world = shard()
    machine.authorize(world, plan(250), NOON)
    told = outcome(extended(world, 150))
    assert (told.draws, told.hold_amount) == ([50, 100], 400)
    assert hold(world).amount == 400
    taken = [(t.name, t.amount, t.perishable) for t in hold(world).draws]
    assert taken == [("g/a", 300, True), ("adjustments", 100, False)]
    assert [(c.name, c.amount) for c in hold(world).counted] == [("co/daily", 400), ("ro/open", 1)]
    assert world.cells.get("acme", "co/daily", NOON) == (0, 400)
    assert [r.kind for r in world.records] == ["authorize", "extend"]


@pytest.mark.parametrize(("ttl_ms", "expires_ms"), [(0, NOON + 60_000), (5_000, NOON + 5_100)])
def test_an_extend_keeps_the_expiry_unless_it_names_another(ttl_ms: int, expires_ms: int) -> None:
    world = shard()
    machine.authorize(world, plan(), NOON)
    extended(world, 1, ttl_ms, NOON + 100)
    assert hold(world).expires_ms == world.due["hold_1"] == expires_ms


def test_an_extend_that_is_denied_leaves_the_hold_as_it_was() -> None:
    world = shard()
    machine.authorize(world, plan(250), NOON)
    before = picture(world)
    assert not outcome(extended(world, 10_000)).allowed
    assert picture(world) == before


def test_what_has_ended_or_never_was_cannot_be_extended() -> None:
    world = shard()
    assert extended(world, 1).status is Status.MISSING
    machine.authorize(world, plan(hold_ttl_ms=100), NOON)
    assert extended(world, 1, now_ms=NOON + 99).status is Status.DONE
    assert extended(world, 1, now_ms=NOON + 100).status is Status.ENDED


# Credit.


@pytest.mark.parametrize(
    ("kind", "debt", "left", "debt_after"),
    [("paid", 0, 100, 0), ("paid", 30, 70, 0), ("paid", 130, 0, 30), ("promotional", 30, 100, 30)],
)
def test_a_paid_grant_first_settles_an_open_shortfall(
    kind: GrantKind, debt: int, left: int, debt_after: int
) -> None:
    world = shard(shortfall=debt)
    order = GrantOrder("acme", "USD", Grant("b", kind, 100, 10, NOON), b"meta", b"")
    moved = machine.grant(world, order, NOON).moved
    assert moved is not None
    assert (moved.amount, moved.settled, moved.available) == (100, debt - debt_after, left)
    assert world.cells.get("acme", "g/b", NOON) == left
    assert world.cells.get("acme", "shortfall", NOON) == debt_after
    assert world.versions["grants", "acme"] == 1
    assert world.grants["acme"] == {"b": ("USD", b"meta")}


def test_a_void_ends_what_is_left_once() -> None:
    world = shard()
    order = VoidOrder("acme", "USD", "a", b"")
    moved = machine.void(world, order, NOON).moved
    assert moved is not None and moved.amount == -300
    assert machine.void(world, order, NOON).status is Status.MISSING
    assert len(world.records) == 1


@pytest.mark.parametrize(
    ("amount", "target", "moved", "draws", "shortfall", "adjustments"),
    [
        (70, None, 70, [], 0, 570),
        (-400, None, -400, [Part("g/a", 300), Part("adjustments", 100)], 0, 400),
        (-900, None, -900, [Part("g/a", 300), Part("adjustments", 500)], 100, 0),
        (0, 1_000, 200, [], 0, 700),  # computed from what is there at that moment
        (0, 50, -750, [Part("g/a", 300), Part("adjustments", 450)], 0, 50),
        (0, 0, -800, [Part("g/a", 300), Part("adjustments", 500)], 0, 0),
        (0, 800, 0, [], 0, 500),
    ],
)
def test_an_adjustment_moves_funds_by_an_amount_or_to_one(
    amount: int,
    target: int | None,
    moved: int,
    draws: list[Part],
    shortfall: int,
    adjustments: int,
) -> None:
    world = shard()
    order = AdjustOrder("acme", "USD", SOURCES, (), 0, NOON + 1, b"", "correction", amount, target)
    found = machine.adjust(world, order, NOON).moved
    assert found is not None
    assert (found.amount, found.draws, found.shortfall) == (moved, draws, shortfall)
    assert found.available == 800 + moved + shortfall
    assert world.cells.get("acme", "adjustments", NOON) == adjustments
    assert (world.cells.get("acme", "shortfall", NOON) or 0) == shortfall
