"""Files of rules, what they are refused for, and whose action wins."""

from __future__ import annotations

import pytest

from rules.engine import Engine
from rules.errors import RuleError
from rules.rehearsal import rehearse
from rules.ruleset import load
from tests.unit.rules import mistakes

NEW_YEAR_MS = 1_798_761_600_000
RULES = """
rules:
  - {id: friend, action: allow, when: org.id == "acme", reason: agreed, expires_at: 2027-01-01}
  - {id: large, action: review, when: amount > 5 USD, reason: large}
  - {id: odd, action: challenge, when: context.asn == 7, reason: an odd network}
  - {id: huge, action: block, when: amount > 50 USD, reason: huge}
"""
USD = 1_000_000


@pytest.mark.parametrize("kind", [*mistakes.CONDITIONS, *mistakes.FILES])
def test_a_bad_rule_is_refused_with_its_place(kind: str) -> None:
    _, told = mistakes.all_told()[kind]
    assert told.startswith("line ")


@pytest.mark.parametrize(
    ("facts", "now_ms", "action", "matches"),
    [
        ({"amount": USD, "context.asn": 1, "org.id": "x"}, 0, "", []),
        ({"amount": 6 * USD, "context.asn": 1, "org.id": "x"}, 0, "review", ["large"]),
        ({"amount": 6 * USD, "context.asn": 7, "org.id": "x"}, 0, "challenge", ["large", "odd"]),
        ({"amount": 60 * USD, "context.asn": 7, "org.id": "x"}, 0, "block",
         ["large", "odd", "huge"]),
        ({"amount": 60 * USD, "context.asn": 1, "org.id": "acme"}, 0, "allow",
         ["friend", "large", "huge"]),
        ({"amount": 60 * USD, "context.asn": 1, "org.id": "acme"}, NEW_YEAR_MS - 1, "allow",
         ["friend", "large", "huge"]),
        ({"amount": 60 * USD, "context.asn": 1, "org.id": "acme"}, NEW_YEAR_MS, "block",
         ["large", "huge"]),
    ],
)  # fmt: skip
def test_the_strongest_action_wins_and_every_match_is_told(
    facts: dict[str, object], now_ms: int, action: str, matches: list[str]
) -> None:
    verdict = Engine(load(RULES)).evaluate(facts, "USD", now_ms)
    assert verdict.action == action
    assert [rule.id for rule in verdict.matches] == matches
    assert verdict.unknown == ()


@pytest.mark.parametrize("day", ["1969-12-31", "1970-01-01", "0001-01-01", "2020-01-01"])
def test_an_exemption_of_long_ago_has_expired(day: str) -> None:
    facts = {"amount": 60 * USD, "context.asn": 1, "org.id": "acme"}
    verdict = Engine(load(RULES.replace("2027-01-01", day))).evaluate(facts, "USD", NEW_YEAR_MS)
    assert verdict.action == "block"


@pytest.mark.parametrize(
    "text",
    ["[" * 50_000, "{" * 50_000, "? " * 20_000, "- " * 20_000, "rules: &a [*a]", "a: *b",
     "rules: [" + "x, " * 50_000 + "]", "!!python/object/apply:os.system ['true']",
     "rules: !!set {a, b}", RULES.replace("reason: agreed", 'reason: "a\\ud800"'),
     RULES.replace("2027-01-01", "!!timestamp abc"), RULES.replace("2027-01-01", "!!bool maybe"),
     RULES.replace("2027-01-01", "!!int \'\'"),
     RULES.replace("context.asn == 7", '"context.country == \'\\ud800\'"'),
     "\ufeffrules: []\n...\nrules: []", "rules: []\n---\nrules: []"],
)  # fmt: skip
def test_hostile_yaml_is_refused_soon(text: str) -> None:
    with pytest.raises(RuleError):
        load(text)


def test_what_is_missing_is_told_and_stops_nobody() -> None:
    verdict = Engine(load(RULES)).evaluate({"amount": 6 * USD}, "USD", 0)
    assert [rule.id for rule in verdict.matches] == ["large"]
    assert [rule.id for rule in verdict.unknown] == ["friend", "odd"]


def test_a_rule_set_is_named_by_its_text() -> None:
    assert load(RULES).id == load(RULES).id
    assert load(RULES).id != load(RULES + "\n# a comment").id
    assert load(RULES).id.startswith("rs_")


def test_an_example_that_is_not_as_its_rule_says_is_named() -> None:
    text = RULES + "    examples: [{facts: {amount: 50 USD}, expect: match, note: at the edge}]\n"
    (failure,) = rehearse(load(text.replace("reason: huge}", "reason: huge}", 1).replace(
        "  - {id: huge, action: block, when: amount > 50 USD, reason: huge}",
        "  - id: huge\n    action: block\n    when: amount > 50 USD\n    reason: huge",
    )))  # fmt: skip
    assert str(failure) == "line 10: huge (at the edge): expected match, found no match"


def test_a_rule_set_without_rules_says_nothing() -> None:
    assert Engine(load("rules: []")).evaluate({"amount": 1}, "USD", 0).action == ""


def test_a_rule_set_reads_no_more_windows_than_the_store_should_count() -> None:
    def reading(count: int) -> str:
        windows = [f'velocity.count("ip", {n}m) > 9' for n in range(1, count + 1)]
        lines = [
            f"{{id: r{n}, action: block, when: '{w}', reason: x}}" for n, w in enumerate(windows)
        ]
        return "rules:\n" + "".join(f"  - {line}\n" for line in lines)

    assert len(load(reading(50)).inputs) == 50
    with pytest.raises(RuleError, match="more than 50 windows and lists"):
        load(reading(51))
