"""The funding waterfall: where money comes from, in which order, and how long that order holds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import pytest

from gateway.core.counters import Source
from gateway.core.entities import Grant, GrantKind, Included, Profile
from gateway.core.funding import (
    INCLUDED_GRACE_MS,
    burn_order,
    grant_name,
    included_name,
    included_sources,
    waterfall,
)
from gateway.core.sources import ADJUSTMENTS, CREDIT_LINE, source_label
from gateway.core.windows import DAY_MS, FOREVER_MS
from tests.unit.core.making import NOON, ms, profile

MIDNIGHT = ms("2026-11-22T00:00Z")
DAILY = Included("daily", 100, "day")
MONTHLY = Included("monthly", 5_000, "month")


def grant(
    name: str,
    kind: GrantKind = "paid",
    *,
    priority: int = 10,
    created_ms: int = 1,
    effective_ms: int | None = None,
    expires_ms: int | None = None,
    products: tuple[str, ...] | None = None,
) -> Grant:
    return Grant(name, kind, 1_000, priority, created_ms, effective_ms, expires_ms, products)


def names(who: Profile, product: str | None = "gpt", now_ms: int = NOON) -> list[str]:
    return [source.name for source in waterfall(who, product, now_ms)[0]]


@dataclass
class Rule:
    """Of two grants the first burns before the second, whatever weighs less."""

    claim: str
    first: Grant
    second: Grant


RULES = [
    Rule(
        "low priority before everything else",
        grant("z", "paid", priority=1, created_ms=9),
        grant("a", "promotional", priority=2, created_ms=1, expires_ms=NOON + 1),
    ),
    Rule("negative priorities are low, too", grant("z", priority=-1), grant("a", priority=0)),
    Rule(
        "then the earliest expiry",
        grant("z", "paid", created_ms=9, expires_ms=NOON + 1),
        grant("a", "promotional", created_ms=1, expires_ms=NOON + 2),
    ),
    Rule(
        "what never expires comes last",
        grant("z", "paid", created_ms=9, expires_ms=NOON + 10**12),
        grant("a", "promotional", created_ms=1),
    ),
    Rule(
        "then promotional before paid",
        grant("z", "promotional", created_ms=9, expires_ms=NOON + 1),
        grant("a", "paid", created_ms=1, expires_ms=NOON + 1),
    ),
    Rule("then the oldest", grant("z", created_ms=1), grant("a", created_ms=2)),
    Rule("of twins the same one everywhere", grant("a"), grant("b")),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.claim)
def test_burn_order(rule: Rule) -> None:
    for given in ((rule.first, rule.second), (rule.second, rule.first)):
        assert burn_order(given) == [rule.first, rule.second]


def test_burn_order_does_not_depend_on_the_order_of_the_grants() -> None:
    grants = (
        grant("first", priority=1),
        grant("soon", "promotional", expires_ms=NOON + 5),
        grant("soon-paid", expires_ms=NOON + 5),
        grant("late", "promotional", expires_ms=NOON + 9),
        grant("gift", "promotional"),
        grant("old", created_ms=1),
        grant("new", created_ms=2),
    )
    for shuffled in permutations(grants):
        assert [g.id for g in burn_order(shuffled)] == [g.id for g in grants]


def test_included_quota_burns_first_then_grants_adjustments_and_the_credit_line() -> None:
    who = profile(
        credit_line=700,
        plan={"included": (MONTHLY, DAILY)},
        grants=(grant("paid"), grant("gift", "promotional", priority=99), grant("now", priority=1)),
    )
    assert names(who) == [
        included_name(MONTHLY, ms("2026-11-01T00:00Z")),
        included_name(DAILY, MIDNIGHT),
        grant_name("now"),
        grant_name("paid"),
        grant_name("gift"),
        ADJUSTMENTS,
        CREDIT_LINE,
    ]


@pytest.mark.parametrize(("credit_line", "floor"), [(0, 0), (1, -1), (2**53 - 1, -(2**53 - 1))])
def test_the_credit_line_is_how_far_below_zero_an_org_may_go(credit_line: int, floor: int) -> None:
    last = waterfall(profile(credit_line=credit_line), "gpt", NOON)[0][-1]
    assert last == Source(CREDIT_LINE, floor=floor)


def test_grants_and_adjustments_end_at_zero() -> None:
    sources, _, _ = waterfall(profile(grants=(grant("a"),)), "gpt", NOON)
    assert {s.name: s.floor for s in sources if s.name != CREDIT_LINE} == {
        grant_name("a"): 0,
        ADJUSTMENTS: 0,
    }


def test_included_quota_starts_at_zero_and_goes_down_to_minus_its_amount() -> None:
    """So a change of plan needs no rewrite; the balance stays a period longer for late returns."""
    (source,) = included_sources(DAILY, profile(), NOON)
    expires_ms = MIDNIGHT + 2 * DAY_MS + INCLUDED_GRACE_MS
    assert source == Source(f"i/daily/{MIDNIGHT}", -100, expires_ms, perishable=True, is_given=True)


def test_what_has_an_end_is_perishable_and_the_rest_is_not() -> None:
    who = profile(plan={"included": (DAILY,)}, grants=(grant("a"),))
    assert [s.perishable for s in waterfall(who, "gpt", NOON)[0]] == [True, True, False, False]


def test_a_free_user_has_nothing_but_included_quota() -> None:
    who = profile(version=0, plan={"included": (DAILY,)})
    assert names(who) == [included_name(DAILY, MIDNIGHT)]


def test_periods_follow_the_timezone_of_the_org() -> None:
    who = profile(timezone="Asia/Shanghai", plan={"included": (DAILY,)})
    for moment, start in (
        ("2026-11-22T15:59:59.999+00:00", "2026-11-22T00:00+08:00"),
        ("2026-11-22T16:00+00:00", "2026-11-23T00:00+08:00"),
    ):
        assert names(who, now_ms=ms(moment))[0] == included_name(DAILY, ms(start))


# Rollover.

ROLLING = Included("daily", 100, "day", rollover=True)


def rolled(created_ms: int = 0, *, version: int = 1) -> list[int]:
    """The starts of the periods whose quota may be used."""
    who = profile(version=version, created_ms=created_ms)
    return [int(s.name.rpartition("/")[2]) for s in included_sources(ROLLING, who, NOON)]


def test_what_the_period_before_left_burns_first() -> None:
    assert rolled() == [MIDNIGHT - DAY_MS, MIDNIGHT]


def test_a_rolled_balance_ends_with_the_period_it_was_rolled_into() -> None:
    first, second = included_sources(ROLLING, profile(), NOON)
    assert (first.floor, second.floor) == (-100, -100)
    assert first.expires_ms == MIDNIGHT + DAY_MS + INCLUDED_GRACE_MS
    assert second.expires_ms == MIDNIGHT + 2 * DAY_MS + INCLUDED_GRACE_MS


@pytest.mark.parametrize(
    ("created_ms", "rolls"),
    [(MIDNIGHT - DAY_MS, True), (MIDNIGHT - 1, True), (MIDNIGHT, False), (NOON, False)],
)
def test_an_org_born_in_this_period_has_none_before_it(created_ms: int, rolls: bool) -> None:
    assert rolled(created_ms) == ([MIDNIGHT - DAY_MS] if rolls else []) + [MIDNIGHT]


def test_free_users_roll_nothing_over() -> None:
    """Nobody knows since when they exist."""
    assert rolled(version=0) == [MIDNIGHT]


def test_a_month_rolls_into_the_next_across_different_lengths() -> None:
    monthly = Included("monthly", 100, "month", rollover=True)
    march = ms("2026-03-15T12:00+01:00")
    sources = included_sources(monthly, profile(timezone="Europe/Berlin", created_ms=0), march)
    starts = [int(s.name.rpartition("/")[2]) for s in sources]
    assert starts == [ms("2026-02-01T00:00+01:00"), ms("2026-03-01T00:00+01:00")]
    assert sources[1].expires_ms == ms("2026-05-01T00:00+02:00") + INCLUDED_GRACE_MS


# Products.


@pytest.mark.parametrize(
    ("products", "asked", "pays"),
    [
        (None, "gpt", True),
        (None, None, True),
        (("gpt",), "gpt", True),
        (("gpt",), "image", False),
        (("gpt", "image"), "image", True),
        (("gpt",), None, True),  # all funds, whatever they may be spent on
    ],
)
def test_funds_pay_for_the_products_they_are_meant_for(
    products: tuple[str, ...] | None, asked: str | None, pays: bool
) -> None:
    who = profile(
        plan={"included": (Included("daily", 100, "day", products),)},
        grants=(grant("a", products=products),),
    )
    found = names(who, asked)
    assert (grant_name("a") in found) == pays
    assert (included_name(DAILY, MIDNIGHT) in found) == pays
    assert found[-2:] == [ADJUSTMENTS, CREDIT_LINE]


# Since when and until when.


@pytest.mark.parametrize(
    ("moment", "is_drawn", "until_ms"),
    [
        (NOON - 1, False, NOON),
        (NOON, True, NOON + 10),
        (NOON + 9, True, NOON + 10),
        (NOON + 10, False, FOREVER_MS),
    ],
)
def test_a_grant_burns_from_effective_at_until_expires_at(
    moment: int, is_drawn: bool, until_ms: int
) -> None:
    who = profile(grants=(grant("a", effective_ms=NOON, expires_ms=NOON + 10),))
    sources, _, until = waterfall(who, "gpt", moment)
    assert (grant_name("a") in [s.name for s in sources]) == is_drawn
    assert until == until_ms


def test_an_order_holds_until_the_first_thing_changes() -> None:
    soon, later = grant("soon", expires_ms=NOON + 5), grant("later", effective_ms=NOON + 3)
    who = profile(plan={"included": (DAILY,)}, grants=(soon, later))
    assert waterfall(who, "gpt", NOON)[2] == NOON + 3
    assert waterfall(who, "gpt", NOON + 3)[2] == NOON + 5
    assert waterfall(who, "gpt", NOON + 5)[2] == MIDNIGHT + DAY_MS


def test_an_order_holds_within_the_narrowest_period() -> None:
    who = profile(plan={"included": (MONTHLY, DAILY)})
    assert waterfall(who, "gpt", NOON)[1:] == (MIDNIGHT, MIDNIGHT + DAY_MS)


def test_without_periods_and_grants_an_order_holds_forever() -> None:
    assert waterfall(profile(), "gpt", NOON)[1:] == (0, FOREVER_MS)


def test_in_the_whole_span_the_order_is_the_same() -> None:
    """The store refuses a plan outside of its span, so within it the sources must be right."""
    who = profile(
        plan={"included": (DAILY,)},
        grants=(
            grant("a", effective_ms=NOON + 3),
            grant("b", expires_ms=NOON + 5),
            grant("c", effective_ms=NOON, expires_ms=NOON + 7),
        ),
    )
    edges = (NOON, NOON + 3, NOON + 5, NOON + 7, MIDNIGHT + DAY_MS)
    moments = sorted({edge + d for edge in edges for d in (-1, 0, 1)})
    wrong = []
    for now_ms, then_ms in product(moments, moments):
        sources, from_ms, until_ms = waterfall(who, "gpt", now_ms)
        assert from_ms <= now_ms < until_ms
        if from_ms <= then_ms < until_ms and waterfall(who, "gpt", then_ms)[0] != sources:
            wrong.append(f"what holds at NOON + {now_ms - NOON} does not at + {then_ms - NOON}")
    assert wrong == []


# Names.


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("i/monthly/1793491200000", "included:monthly"),
        ("i/a.b:c-d_e/0", "included:a.b:c-d_e"),
        ("g/grant_01J", "grant_01J"),
        ("adjustments", "adjustments"),
        ("credit_line", "credit_line"),
    ],
)
def test_what_callers_see_of_a_source(name: str, label: str) -> None:
    assert source_label(name) == label


def test_the_label_of_a_made_name_is_the_id_it_was_made_from() -> None:
    assert source_label(included_name(DAILY, MIDNIGHT)) == "included:daily"
    assert source_label(grant_name("grant_1")) == "grant_1"
