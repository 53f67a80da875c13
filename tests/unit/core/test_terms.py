"""Terms: what all requests of a lineage and product share, and how long they are true."""

from __future__ import annotations

from itertools import product

import pytest
from msgspec.structs import replace

from gateway.core.caps import FREE_HELD, HELD, applied
from gateway.core.commands import Version
from gateway.core.counters import SET_ASIDE, SLIDING, WINDOW
from gateway.core.entities import (
    Cap,
    CardVersion,
    Contract,
    Grant,
    Included,
    Lineage,
    Member,
    PricePlan,
    Profile,
    RateCard,
    RateLimit,
)
from gateway.core.pricing import Price
from gateway.core.terms import LONGEST_MS, Terms, book_of, compile_terms, terms_of_hold, versions_of
from gateway.core.windows import DAY_MS
from gateway.errors import CallerError
from tests.unit.core.making import CARD, GPT, NOON, lineage, lineage_terms, ms, profile

MIDNIGHT = ms("2026-11-22T00:00Z")
KEYED = lineage(project="search", user="u_1", key="k_1")


def terms(
    who: Profile | None = None, of: Lineage | None = None, now_ms: int = NOON, **more: object
) -> Terms:
    given = lineage_terms(of, **more)
    return compile_terms(who or profile(), given, "gpt", now_ms)


def test_terms_depend_on_the_versions_of_org_plan_card_and_grants() -> None:
    who = profile(version=7, grants_version=3)
    who = replace(who, plan=replace(who.plan, version=5), card=replace(CARD, changes=9))
    assert versions_of(who) == (
        Version("org", "acme", 7),
        Version("plan", "payg", 5),
        Version("card", "default", 9),
        Version("grants", "acme", 3),
    )
    assert terms(who).asked.versions == (7, 5, 9, 3)


def test_a_free_user_has_no_grants_to_depend_on_and_its_org_s_version_is_none() -> None:
    kinds = {v.kind: v.expected for v in versions_of(profile(version=0))}
    assert kinds == {"org": 0, "plan": 0, "card": 1}


def test_a_free_user_is_booked_on_its_plan_s_collective_account() -> None:
    """Never on one of its own, and no id of an org begins so."""
    assert book_of(profile()) == "acme"
    assert book_of(profile(version=0)) == "~payg"
    free = terms(profile(version=0))
    assert (free.needs.book, free.asked.book, free.needs.org) == ("~payg", "~payg", "acme")


def test_what_a_free_user_holds_does_not_mix_with_the_org_it_may_become() -> None:
    gauges = [terms(profile(version=v)).needs.counters[-1] for v in (0, 1)]
    assert [g.name for g in gauges] == [FREE_HELD, HELD]
    assert {g.measure for g in gauges} == {SET_ASIDE}


@pytest.mark.parametrize(
    ("of", "entities"),
    [
        (lineage(), ("o",)),
        (lineage(user="u"), ("o", "u/u")),
        (lineage(key="k"), ("o", "k/k")),
        (KEYED, ("o", "u/u_1", "k/k_1")),
    ],
)
def test_attempts_are_counted_for_org_user_and_key(of: Lineage, entities: tuple[str, ...]) -> None:
    assert terms(of=of).needs.signals == entities


def test_the_record_says_what_the_store_was_given() -> None:
    caps = (Cap("daily", "org", "day", 1_000), Cap("mine", "user", "month", 50, "soft"))
    rates = (RateLimit("r", "key", "requests", 5, 30),)
    found = terms(profile(caps=caps, rate_limits=rates), KEYED)
    assert found.asked.sources == found.needs.sources
    assert [(t.id, t.kind, t.mode, t.limit) for t in found.asked.limits] == [
        ("daily", "cap", "hard", 1_000), ("mine", "cap", "soft", 50), ("r", "requests", "hard", 5),
    ]  # fmt: skip
    assert [c.limit for c in found.needs.counters] == [1_000, -1, 5, -1]
    assert [t.span_ms for t in found.asked.limits] == [
        MIDNIGHT + DAY_MS, ms("2026-12-01T00:00Z"), 30_000,
    ]  # fmt: skip
    assert found.price == Price("default", "v1", "USD", GPT, dearness=100)
    asked = found.asked
    assert (asked.org, asked.project, asked.user, asked.key) == ("acme", "search", "u_1", "k_1")


# Currencies.


def test_a_card_in_another_currency_than_the_org_s_cannot_price_it() -> None:
    euros = RateCard("default", 1, (CardVersion("v1", 0, "EUR", {"gpt": GPT}),))
    with pytest.raises(CallerError) as refused:
        terms(profile(card=euros))
    assert (refused.value.code, refused.value.status) == ("currency_mismatch", 422)
    assert terms(profile(card=euros, version=0)).needs.currency == "EUR"  # free users follow it


# Who is refused before the store is asked.


def refused(who: Profile | None = None, now_ms: int = NOON, *members: Member) -> list[str]:
    found = terms(who, KEYED, now_ms, members=members).asked.refusals
    return [f"{r.reason.name} {r.id}" for r in found]


@pytest.mark.parametrize(
    ("members", "codes"),
    [
        ((), []),
        ((Member("project", "search"), Member("user", "u_1"), Member("key", "k_1")), []),
        ((Member("project", "search", "suspended"),), ["project_suspended search"]),
        ((Member("user", "u_1", "suspended"),), ["user_suspended u_1"]),
        ((Member("key", "k_1", "disabled"),), ["key_disabled k_1"]),
        ((Member("key", "k_1", project="search", user="u_1"),), []),
        ((Member("key", "k_1", project="other"),), ["key_unknown k_1"]),
        ((Member("key", "k_1", user="other"),), ["key_unknown k_1"]),
        ((Member("key", "k_1", expires_ms=NOON + 1),), []),
        ((Member("key", "k_1", expires_ms=NOON),), ["key_expired k_1"]),
        ((Member("key", "k_1", "disabled", expires_ms=1),),
         ["key_disabled k_1", "key_expired k_1"]),
    ],
)  # fmt: skip
def test_members_are_checked(members: tuple[Member, ...], codes: list[str]) -> None:
    assert refused(None, NOON, *members) == codes


def test_an_org_with_registered_keys_knows_its_keys() -> None:
    assert refused(profile(has_keys=True)) == ["key_unknown k_1"]
    assert refused(profile(has_keys=True), NOON, Member("key", "k_1")) == []
    assert terms(profile(has_keys=True)).asked.refusals == ()


def test_a_suspended_org_is_refused_whatever_else() -> None:
    assert refused(profile(status="suspended")) == ["org_suspended acme"]


# How long terms are true.

LATER = RateCard(
    "default",
    3,
    (
        CardVersion("v1", 0, "USD", {"gpt": {"units": 1}}),
        CardVersion("v2", NOON + 20, "USD", {"gpt": {"units": 2}}),
    ),
)


@pytest.mark.parametrize(
    ("who", "members", "until_ms"),
    [
        (profile(), (), NOON + LONGEST_MS),
        (profile(card=LATER), (), NOON + 20),
        (profile(card=LATER, contract=Contract("default", "v1", NOON + 10)), (), NOON + 10),
        (profile(card=LATER, contract=Contract("default", "v1", 0, NOON + 30)), (), NOON + 30),
        (profile(), (Member("key", "k_1", expires_ms=NOON + 5),), NOON + 5),
        (profile(), (Member("key", "k_1", expires_ms=NOON),), NOON + LONGEST_MS),
        (profile(grants=(Grant("g", "paid", 1, 0, 0, expires_ms=NOON + 3),)), (), NOON + 3),
        (profile(grants=(Grant("g", "paid", 1, 0, 0, effective_ms=NOON + 4),)), (), NOON + 4),
        (profile(caps=(Cap("c", "org", "minute", 1),)), (), NOON + 60_000),
        (profile(caps=(Cap("c", "org", "lifetime", 1),)), (), NOON + LONGEST_MS),
        (profile(plan={"included": (Included("i", 1, "day"),)}), (), MIDNIGHT + DAY_MS),
    ],
)
def test_terms_end_with_the_first_thing_that_changes(
    who: Profile, members: tuple[Member, ...], until_ms: int
) -> None:
    assert terms(who, KEYED, members=members).needs.valid_until_ms == until_ms


def test_terms_begin_with_the_windows_they_count_in() -> None:
    who = profile(caps=(Cap("d", "org", "day", 1), Cap("m", "org", "minute", 1)))
    assert terms(who).needs.valid_from_ms == NOON
    assert terms(who, now_ms=NOON + 59_999).needs.valid_from_ms == NOON
    assert terms(who, now_ms=NOON - 1).needs.valid_from_ms == NOON - 60_000


CHANGES = {
    "a grant begins": (NOON, profile(grants=(Grant("g", "paid", 1, 0, 0, effective_ms=NOON),)), ()),
    "a grant ends": (NOON, profile(grants=(Grant("g", "paid", 1, 0, 0, expires_ms=NOON),)), ()),
    "a price version begins": (NOON + 20, profile(card=LATER), ()),
    "a contract begins": (
        NOON,
        profile(card=LATER, contract=Contract("default", "v1", NOON, discount_bps=9)),
        (),
    ),
    "a contract ends": (
        NOON,
        profile(card=LATER, contract=Contract("default", "v1", 0, NOON, discount_bps=9)),
        (),
    ),
    "a key expires": (NOON, profile(), (Member("key", "k_1", expires_ms=NOON),)),
    "a cap's window begins": (NOON, profile(caps=(Cap("c", "org", "hour", 1),)), ()),
    "a quota's period begins": (
        MIDNIGHT,
        profile(plan={"included": (Included("i", 1, "day", rollover=True),)}),
        (),
    ),
}


def _says(found: Terms) -> Terms:
    """Terms without the span in which they are true."""
    needs = replace(found.needs, valid_from_ms=0, valid_until_ms=0, prepared=None)
    return replace(found, needs=needs)


@pytest.mark.parametrize("change", CHANGES)
def test_terms_are_true_in_all_of_their_span(change: str) -> None:
    """The store's clock decides: it answers *stale* outside the span, and believes it within.

    So terms compiled by a gateway whose clock is ahead must not reach back before the change.
    """
    at_ms, who, members = CHANGES[change]
    moments = (at_ms - 2_000, at_ms - 1, at_ms, at_ms + 1)
    wrong = []
    for now_ms, then_ms in product(moments, moments):
        found = terms(who, KEYED, now_ms, members=members)
        needs = found.needs
        assert needs.valid_from_ms <= now_ms < needs.valid_until_ms
        if needs.valid_from_ms <= then_ms < needs.valid_until_ms:
            is_same = _says(terms(who, KEYED, then_ms, members=members)) == _says(found)
            wrong += [] if is_same else [f"compiled {now_ms - at_ms}, used {then_ms - at_ms} ms"]
    assert wrong == []


@pytest.mark.parametrize(
    ("who", "cap"),
    [
        (profile(), Cap("c", "org", "day", 1)),
        (profile(), Cap("c", "org", "lifetime", 1)),
        (profile(), Cap("c", "run", "lifetime", 1)),
        (profile(version=0), Cap("c", "org", "lifetime", 1)),
    ],
)
def test_terms_are_over_before_a_counter_they_make_would_be_gone(who: Profile, cap: Cap) -> None:
    """A counter that is written with a time already past counts nothing, and its cap is none."""
    needs = terms(replace(who, caps=(cap,)), lineage(run="run-1")).needs
    expiries = [c.period_ms for c in needs.counters if c.shape == WINDOW and c.period_ms]
    assert all(needs.valid_until_ms <= at_ms for at_ms in expiries)


# Extending a hold.


def test_an_extend_counts_in_the_windows_its_hold_was_made_in_at_the_hold_s_price() -> None:
    caps = (Cap("daily", "org", "day", 1_000),)
    rates = (
        RateLimit("r", "org", "requests", 5),
        RateLimit("t", "org", "tokens", 500),
        RateLimit("c", "org", "concurrent", 2),
    )
    who = profile(caps=caps, rate_limits=rates)
    made_ms = MIDNIGHT - 1
    old_price = Price("default", "v0", "USD", {"units": 9})
    found = terms_of_hold(terms(who), who, lineage_terms(), old_price, made_ms)
    then = applied(who, lineage_terms(), "gpt", made_ms)
    assert found.asked.limits[0].span_ms == MIDNIGHT
    assert found.needs.counters[0].name == then[0].name
    assert [t.kind for t in found.asked.limits] == ["cap", "tokens"]
    assert [c.name for c in found.needs.counters[1:]] == [then[2].name, HELD]
    assert found.needs.counters[1].shape == SLIDING
    assert found.price == old_price


def test_an_extend_is_paid_and_refused_as_of_today() -> None:
    who = profile(status="suspended", grants=(Grant("new", "paid", 1, 0, 0, effective_ms=NOON),))
    today = terms(who)
    found = terms_of_hold(today, who, lineage_terms(), None, NOON - DAY_MS)
    assert found.needs.sources == today.needs.sources
    assert found.needs.versions == today.needs.versions
    assert found.asked.refusals == today.asked.refusals != ()


def test_what_was_prepared_for_a_request_is_not_used_for_an_extend() -> None:
    """A store may keep what it derived from the counters; these are others."""
    today = terms()
    today.needs.prepared = object()
    assert terms_of_hold(today, profile(), lineage_terms(), None, NOON).needs.prepared is None


def test_plans_without_anything_are_fine() -> None:
    bare = Profile(profile().org, PricePlan("payg", "none"), RateCard("none", 0))
    found = terms(bare)
    assert found.price is None
    assert found.needs.currency == "USD"
