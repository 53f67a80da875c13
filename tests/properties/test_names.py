"""No id can be chosen so that a name or key made of it is another's, in Python or in Lua."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.core import names
from gateway.core.caps import apply_cap, apply_rate_limit
from gateway.core.commands import Version
from gateway.core.entities import (
    Cap,
    CardVersion,
    Lineage,
    Org,
    PricePlan,
    Profile,
    RateCard,
    RateLimit,
)
from gateway.core.entity_counters import signal_name
from gateway.core.terms import signal_entities
from gateway.store import keys
from gateway.store.pipeline import Pipeline, parse_url

LUA = Path(keys.__file__).parent / "lua" / "include" / "keys.lua"
structural = st.text(alphabet="ab/%{}~=:2F5s0grantkuo|.@", min_size=1, max_size=12)
ids = structural | st.text(min_size=1, max_size=20).filter(lambda text: "\x00" not in text)
NOW_MS = 1_750_000_000_000


@given(st.lists(ids, min_size=1, max_size=5))
def test_a_name_comes_apart_into_what_it_was_joined_of(parts: list[str]) -> None:
    assert names.split(names.join(*parts)) == parts


@given(st.lists(ids, min_size=1, max_size=4), st.lists(ids, min_size=1, max_size=4))
def test_two_names_are_equal_only_if_all_their_parts_are(one: list[str], two: list[str]) -> None:
    assert (names.join(*one) == names.join(*two)) == (one == two)


@given(ids, ids)
def test_two_orgs_share_no_key_and_no_leading_path_of_one(one: str, two: str) -> None:
    mine, other = keys.org_prefix(0, one), keys.org_prefix(0, two)
    assert (mine == other) == (one == two)
    assert one == two or not (mine.startswith(other) or other.startswith(mine))
    assert not mine.startswith("{s0}//")


@given(ids, ids)
def test_no_org_is_booked_on_anothers_account_or_on_a_plans(one: str, two: str) -> None:
    assert (names.own_book(one) == names.own_book(two)) == (one == two)
    assert not names.is_collective(names.own_book(one))
    assert names.is_collective(names.collective_book("free"))


@given(ids, ids)
def test_no_hold_and_no_other_org_is_taken_for_a_grant_that_ends(org: str, other: str) -> None:
    assert names.grant_due(names.due_grant(org, "grant_1")) == (org, "grant_1")
    assert (names.due_grant(org, "grant_1") == names.due_grant(other, "grant_1")) == (org == other)
    assert names.grant_due("hold_01J") is None


def profile_of(org: str) -> Profile:
    card = RateCard("c", 1, (CardVersion("v", 0, "USD", {}),))
    return Profile(Org(org, "payg"), PricePlan("payg", "c"), card)


maybe = st.just("") | structural
lineages = st.builds(Lineage, structural, maybe, maybe, maybe)


def keys_of(lineage: Lineage) -> set[str]:
    """The keys that name the narrowest of a lineage: its signals, caps and rate limits."""
    prefix = keys.org_prefix(keys.shard_of(lineage.org), lineage.org)
    found = {prefix + signal_name(entity) for entity in signal_entities(lineage)}
    for level in ("project", "user", "key"):
        if target := lineage.at(level):
            cap = apply_cap(Cap("c", level, "day", 1), target, profile_of(lineage.org), NOW_MS)
            found |= {prefix + cap.name, prefix + cap.index + "\n" + names.target_of(cap.name)}
            limit = RateLimit(f"r-{level}", level, "requests", 1)
            found.add(prefix + apply_rate_limit(limit, target).name)
    return found


@given(lineages, lineages)
def test_two_lineages_share_all_their_keys_only_if_they_are_equal(a: Lineage, b: Lineage) -> None:
    assert (keys_of(a) == keys_of(b)) == (a == b)
    if a.org != b.org:
        assert not keys_of(a) & keys_of(b)


@given(ids, ids, ids)
def test_versions_of_different_things_have_different_keys(org: str, plan: str, name: str) -> None:
    found = {
        keys.version(0, Version("org", org, 1)),
        keys.version(0, Version("grants", org, 1)),
        keys.version(0, Version("plan", plan, 1)),
        keys.version(0, Version("card", plan, 1)),
        keys.velocity(0, org, names.join("w", name)),
        keys.hold(0, "hold_1"),
        keys.claim(0, "dec_1"),
    }
    assert len(found) == 7


async def test_lua_spells_every_key_as_python_does(valkey_url: str) -> None:
    pipeline = Pipeline(parse_url(valkey_url), deadline_s=10)
    source = f"{LUA.read_text('utf-8')}\nlocal tag, org = ARGV[1], ARGV[2]\nreturn " + (
        "{org_prefix(tag, org), shortfall_key(tag, org), grants_key(tag, org),"
        " grants_version_key(tag, org), grant_key(tag, org, ARGV[3]), hold_key(tag, ARGV[4]),"
        " due_grant(org, ARGV[3]), {grant_due(due_grant(org, ARGV[3]))}, {grant_due(ARGV[4])}}"
    )

    async def compare(org: str) -> None:
        sent: list[Any] = ["{s7}", org, "grant_1", "hold_1"]
        prefix = keys.org_prefix(7, org)
        expected = [
            *(prefix, prefix + "shortfall", prefix + "grants"),
            *(keys.version(7, Version("grants", org, 1)), prefix + "g/grant_1"),
            *(keys.hold(7, "hold_1"), names.due_grant(org, "grant_1")),
            *([org, "grant_1"], []),
        ]
        found = await pipeline.call("EVAL", source, 0, *sent)
        assert [_text(one) for one in found] == expected

    drawn: list[str] = ["acme", "%", "%25", "a/b", "{x}", "張三", "%2F/", "~free", "}{", "a%7Bb"]
    for org in drawn:
        await compare(org)
    await pipeline.close()


def _text(value: Any) -> Any:
    return [_text(one) for one in value] if isinstance(value, list) else value.decode()
