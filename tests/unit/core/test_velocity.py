"""Tallies: what rules want counted, read before a request is counted in it."""

from __future__ import annotations

import pytest

from gateway.core.expiring_cells import Cells
from gateway.core.money import MAX_MICROS
from gateway.core.velocity import (
    COUNTED,
    DISTINCT,
    FIRST,
    IF_REFUSED,
    LISTED,
    MOST_DISTINCT,
    ONE_MORE,
    Past,
    VelocityCounter,
    add_past,
    add_velocity,
    count_ends_ms,
    read_velocity,
)

WIDTH_MS = 600_000
MIDNIGHT = 20_000 * 86_400_000
KEY = VelocityCounter(COUNTED, "acme", "w/1.600000/k/k1", WIDTH_MS, ONE_MORE)


class Counted:
    """An org's own cells and those that are shared."""

    def __init__(self) -> None:
        self.own, self.shared = Cells(), Cells()

    def add(
        self, tally: VelocityCounter, micros: int = 0, into_ms: int = 0, *, is_allowed: bool = True
    ) -> None:
        request = (micros, is_allowed)
        add_velocity(self.own, self.shared, [tally], request, MIDNIGHT + into_ms)

    def read(self, tally: VelocityCounter, into_ms: int = 0) -> list[int]:
        return read_velocity(self.own, self.shared, [tally], MIDNIGHT + into_ms)


@pytest.mark.parametrize(
    ("into_ms", "seen"),
    [
        (0, [2, 30]),
        (WIDTH_MS - 1, [2, 30]),
        (WIDTH_MS, [2, 30]),
        (WIDTH_MS + WIDTH_MS // 2, [1, 15]),
        (2 * WIDTH_MS - 1, [0, 0]),
        (2 * WIDTH_MS, [0, 0]),
    ],
)
def test_a_count_fades_with_the_overlap_of_its_bucket(into_ms: int, seen: list[int]) -> None:
    counted = Counted()
    counted.add(KEY, 10)
    counted.add(KEY, 20)
    assert counted.read(KEY, into_ms) == seen


def test_a_count_lives_until_it_counts_no_more() -> None:
    counted = Counted()
    counted.add(KEY, 10**9)
    ends_ms = count_ends_ms(MIDNIGHT // WIDTH_MS, WIDTH_MS) - MIDNIGHT
    assert counted.own.alive(MIDNIGHT + ends_ms - 1)
    assert counted.read(KEY, ends_ms - 10) != [0, 0]
    assert not counted.own.alive(MIDNIGHT + ends_ms)
    assert counted.read(KEY, ends_ms) == [0, 0]


def test_an_amount_never_leaves_what_lua_can_hold() -> None:
    counted = Counted()
    counted.add(KEY, MAX_MICROS)
    counted.add(KEY, MAX_MICROS)
    assert counted.read(KEY) == [2, MAX_MICROS]


def test_what_only_reads_counts_nothing() -> None:
    counted = Counted()
    only_reads = VelocityCounter(COUNTED, "acme", KEY.name, WIDTH_MS)
    counted.add(only_reads, 5)
    assert counted.read(only_reads) == [0, 0]


def test_what_is_shared_is_one_for_all_orgs_and_what_is_not_is_each_one_s_own() -> None:
    counted = Counted()
    counted.add(VelocityCounter(COUNTED, "", "w/1.600000/ip/a", WIDTH_MS, ONE_MORE), 7)
    counted.add(KEY, 5)
    assert counted.read(VelocityCounter(COUNTED, "", "w/1.600000/ip/a", WIDTH_MS)) == [1, 7]
    assert counted.read(VelocityCounter(COUNTED, "other", KEY.name, WIDTH_MS)) == [0, 0]
    assert not counted.own.alive(MIDNIGHT).keys() & counted.shared.alive(MIDNIGHT).keys()


def met(member: str) -> VelocityCounter:
    return VelocityCounter(DISTINCT, "acme", "d/1.600000.asn/k/k1", WIDTH_MS, member)


def test_a_member_counts_once_until_it_was_not_met_for_the_width() -> None:
    counted = Counted()
    for into_ms, member in ((0, "a"), (1000, "b"), (2000, "a")):
        counted.add(met(member), 0, into_ms)
    assert counted.read(met(""), 2000) == [2, 0]
    assert counted.read(met(""), WIDTH_MS + 999) == [2, 0]
    assert counted.read(met(""), WIDTH_MS + 1000) == [1, 0]
    assert counted.read(met(""), WIDTH_MS + 2000) == [0, 0]


def test_a_member_is_known_from_its_second_request_on_until_it_was_not_met_for_the_width() -> None:
    counted = Counted()
    assert counted.read(met("a")) == [0, 0]
    counted.add(met("a"))
    assert counted.read(met("a"), 1) == [1, 1]
    assert counted.read(met("b"), 1) == [1, 0]
    assert counted.read(met("a"), WIDTH_MS - 1) == [1, 1]
    assert counted.read(met("a"), WIDTH_MS) == [0, 0]


def test_what_counts_refused_ones_counts_no_others() -> None:
    counted = Counted()
    refused = VelocityCounter(COUNTED, "acme", "r/1.600000/org/acme", WIDTH_MS, IF_REFUSED)
    counted.add(refused, 5)
    counted.add(refused, 7, is_allowed=False)
    assert counted.read(refused) == [1, 7]


def test_an_entity_is_as_old_as_it_is_met_without_a_pause_as_long_as_the_width_up_to_it() -> None:
    counted = Counted()
    first = VelocityCounter(FIRST, "acme", "f/1.600000/key/k1", WIDTH_MS, ONE_MORE)
    assert counted.read(first, 0) == [0]
    for into_ms in (0, WIDTH_MS - 1, 2 * WIDTH_MS - 2):
        counted.add(first, 0, into_ms)
    assert counted.read(first, WIDTH_MS - 2) == [WIDTH_MS - 2]
    assert counted.read(first, 2 * WIDTH_MS) == [WIDTH_MS]
    assert counted.read(first, 3 * WIDTH_MS - 2) == [0]


@pytest.mark.parametrize(
    ("since_ms", "last_ms", "age_ms"),
    [(-9_000, -1, 10_000), (-9_000, -WIDTH_MS, 1_000), (-9_000 - WIDTH_MS, -9_000, WIDTH_MS)],
)
def test_what_happened_before_makes_it_older_unless_it_was_away_in_between(
    since_ms: int, last_ms: int, age_ms: int
) -> None:
    counted = Counted()
    first = VelocityCounter(FIRST, "acme", "f/1.600000/key/k1", WIDTH_MS, ONE_MORE)
    counted.add(first, 0, 0)
    past = Past(first, {0: (MIDNIGHT + since_ms, MIDNIGHT + last_ms)})
    add_past(counted.own, counted.shared, past, MIDNIGHT + 500)
    assert counted.read(first, 1_000) == [age_ms]


def test_of_too_many_members_the_longest_unseen_go() -> None:
    counted = Counted()
    for number in range(MOST_DISTINCT + 5):
        counted.add(met(f"m{number}"), 0, number)
    assert counted.read(met(""), 1000) == [MOST_DISTINCT, 0]
    (members,) = counted.own.alive(MIDNIGHT + 1000).values()
    assert "m4" not in members and "m5" in members


def test_a_list_says_whether_an_entry_stands_and_has_not_expired() -> None:
    counted, entry = Counted(), VelocityCounter(LISTED, "", "l/bad/1")
    assert counted.read(entry) == [0]
    counted.shared.replace("", "l/bad/1", 1, MIDNIGHT + 1000)
    assert counted.read(entry) == [1]
    assert counted.read(entry, 1000) == [0]
