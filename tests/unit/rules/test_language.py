"""What conditions mean: tables of text, facts and answer."""

from __future__ import annotations

import pytest

from rules.engine import Engine
from rules.ruleset import load

CENT = 10_000
USD = 100 * CENT
HOUR = 3_600_000
HOURLY = 'velocity.cost("key", 1h)'


def told(condition: str, currency: str = "USD", **facts: object) -> str:
    """`match`, `no match` or `unknown`; facts by name with __ for a dot."""
    lines = f"rules:\n- {{id: a, action: block, reason: b, when: {condition!r}}}"
    verdict = Engine(load(lines)).evaluate(
        {name.replace("__", "."): value for name, value in facts.items()}, currency, 0
    )
    if verdict.matches:
        return "match"
    return "unknown" if verdict.unknown else "no match"


@pytest.mark.parametrize(
    ("condition", "facts", "expected"),
    [
        ("amount > 5 USD", {"amount": 5 * USD}, "no match"),
        ("amount > 5 USD", {"amount": 5 * USD + 1}, "match"),
        ("amount >= 0.05 USD", {"amount": 5 * CENT}, "match"),
        ("amount >= 0.000001 USD", {"amount": 1}, "match"),
        ("amount > 5 USD", {}, "unknown"),
        ("!(amount > 5 USD)", {}, "unknown"),
        ("amount != 5 USD", {}, "unknown"),
        ("amount == amount", {}, "unknown"),
        ("2 * amount > 9 USD", {"amount": 5 * USD}, "match"),
        ("amount * 0.5 > 2 USD", {"amount": 5 * USD}, "match"),
        ("amount / 2 == 2.50 USD", {"amount": 5 * USD}, "match"),
        (f"amount / {HOURLY} > 0.5", {"amount": 6, HOURLY: 10}, "match"),
        (f"amount / {HOURLY} > 0.5", {"amount": 6, HOURLY: 0}, "unknown"),
        ("amount / 0 > 1 USD || captures", {"amount": 6, "captures": True}, "match"),
        ("amount / 0 > 1 USD && captures", {"amount": 6, "captures": False}, "no match"),
        ("amount / 0 > 1 USD && captures", {"amount": 6, "captures": True}, "unknown"),
        ("amount * 9000000000000000 > 1 USD", {"amount": 5 * USD}, "unknown"),
        ("amount * 99999999999999999.5 > 1 USD", {"amount": 5 * USD}, "unknown"),
        ("-amount < 0 USD", {"amount": 1}, "match"),
        ("org.age < 1h", {"org__age": HOUR - 1}, "match"),
        ("org.age < 1h", {"org__age": HOUR}, "no match"),
        ("org.age / 1h < 0.5", {"org__age": HOUR // 4}, "match"),
        ("org.age < 90m - 30m", {"org__age": HOUR - 1}, "match"),
        ('product.startsWith("gpt")', {"product": "gpt-5"}, "match"),
        ('product.startsWith("")', {}, "unknown"),
        ('product.endsWith(run)', {"product": "gpt-5"}, "unknown"),
        ('product.contains("t-")', {"product": "gpt-5"}, "match"),
        ('!product.contains("t-")', {}, "unknown"),
        ('product in ["gpt-5", "o3"]', {"product": "o3"}, "match"),
        ('!(product in ["gpt-5"])', {}, "unknown"),
        ('product < "h"', {"product": "gpt-5"}, "match"),
        ('product > "h"', {}, "unknown"),
        ("has(context.asn)", {}, "no match"),
        ("!has(context.asn)", {}, "match"),
        ("has(context.asn) ? context.asn == 5 : captures", {"captures": True}, "match"),
        ("has(context.country) && has(captures)", {"context__country": "DE", "captures": False},
         "match"),
        ("context.asn in [5, 6]", {"context__asn": 6}, "match"),
        ("hour >= 22 || hour < 6 // at night", {"hour": 23}, "match"),
        ("captures == org.is_free", {"captures": False, "org__is_free": False}, "match"),
        ("captures != org.is_free", {"captures": False}, "unknown"),
    ],
)  # fmt: skip
def test_a_condition_is_true_false_or_unknown(
    condition: str, facts: dict[str, object], expected: str
) -> None:
    assert told(condition, **facts) == expected


@pytest.mark.parametrize(
    ("condition", "currency", "expected"),
    [
        ("amount > 5 USD", "USD", "match"),
        ("amount > 5 USD", "EUR", "unknown"),
        ("amount > 5 USD || amount > 50 EUR", "EUR", "unknown"),
        ("amount > 5 USD || amount > 5 EUR", "EUR", "match"),
        ("amount > 5 USD || amount > 5 EUR", "CHF", "unknown"),
        (f"amount > {HOURLY}", "CHF", "match"),
    ],
)
def test_an_amount_of_another_currency_is_unknown(
    condition: str, currency: str, expected: str
) -> None:
    assert told(condition, currency, **{"amount": 6 * USD, HOURLY: USD}) == expected


def test_velocities_and_lists_are_facts_under_their_own_text() -> None:
    condition = 'velocity.distinct("asn", by "key", 1440m) > 3 && context.ip in @bad'
    lines = f"rules:\n- {{id: a, action: block, reason: b, when: {condition!r}}}"
    ruleset = load(lines)
    names = [str(what) for what in ruleset.inputs]
    assert names == ['velocity.distinct("asn", by "key", 1d)', "context.ip in @bad"]
    verdict = Engine(ruleset).evaluate(dict(zip(names, (4, True), strict=True)), "USD", 0)
    assert [rule.id for rule in verdict.matches] == ["a"]
