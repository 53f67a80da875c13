"""The decision log as it is listed: the newest first, as it was told, page by page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateways import Caller
from tests.scenarios.rules.rulebook import booked, cents, in_force, rule, rules

BOOK = rules(
    rule("spree", "block", 'velocity.cost("key", 1h) + amount > 3 USD'),
    rule("odd", "challenge", 'run == "odd"'),
    rule("seen", "review", "amount > 2 USD"),
)


async def log(caller: Caller, **query: Any) -> dict[str, Any]:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    found: dict[str, Any] = await caller.ok("GET", f"/v1/decisions?{asked}")
    return found


async def decided(caller: Caller, org: str) -> list[dict[str, Any]]:
    """Allowed, reviewed, blocked by what was counted, challenged, too dear."""
    asks = [cents(50), cents(250), cents(90), cents(1, run="odd"), cents(2_000_000)]
    answers = [await caller.authorize(org, key="k", **ask) for ask in asks]
    await booked(caller)
    return answers


async def test_it_lists_what_was_told_the_newest_first(caller: Caller, org: str) -> None:
    await in_force(caller, BOOK)
    answers = await decided(caller, org)
    found = (await log(caller, org=org))["decisions"]
    assert [one["id"] for one in found] == [answer["id"] for answer in reversed(answers)]
    for one, answer in zip(found, reversed(answers), strict=True):
        assert (one["decision"], one["reasons"]) == (answer["decision"], answer["reasons"])
        assert one["amount_micros"] == answer["quote"]["amount_micros"]
        told = answer["risk"]
        assert [one[name] for name in ("ruleset", "rules", "review")] == [
            told[name] for name in ("ruleset", "rules", "review")
        ]


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ({"decision": "allow"}, [1, 0]),
        ({"decision": "challenge"}, [3]),
        ({"decision": "deny"}, [4, 2]),
        ({"reason": "rule_blocked"}, [2]),
        ({"reason": "insufficient_funds", "decision": "deny"}, [4]),
        ({"reason": "rate_limited"}, []),
        ({"to": "2020-01-01"}, []),
    ],
)
async def test_it_lists_what_is_asked_for(
    caller: Caller, org: str, query: dict[str, str], places: list[int]
) -> None:
    await in_force(caller, BOOK)
    answers = await decided(caller, org)
    found = (await log(caller, org=org, **query))["decisions"]
    assert [one["id"] for one in found] == [answers[place]["id"] for place in places]


async def test_pages_follow_each_other_without_a_gap(caller: Caller, org: str) -> None:
    answers = await decided(caller, org)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await log(caller, org=org, limit=2, **cursor)
        seen += [one["id"] for one in page["decisions"]]
        if page["cursor"] is None:
            break
        cursor = {"cursor": page["cursor"]}
    assert seen == [answer["id"] for answer in reversed(answers)]


async def test_another_org_s_credential_sees_none_of_it(caller: Caller, org: str) -> None:
    await decided(caller, org)
    body = {"name": "other", "scopes": ["risk"], "org": f"other-{org}"}
    secret = (await caller.ok("POST", "/v1/credentials", body))["secret"]
    headers = {"Authorization": f"Bearer {secret}"}
    status, _, _ = await caller.send("GET", f"/v1/decisions?org={org}", **headers)
    assert status == 404
    status, found, _ = await caller.send("GET", "/v1/decisions", **headers)
    assert (status, found["decisions"]) == (200, [])


@pytest.mark.parametrize(
    "query",
    [{"decision": "perhaps"}, {"reason": "x"}, {"limit": 0}, {"cursor": "x"}, {"from": "x"}],
)
async def test_a_question_that_makes_no_sense_is_refused(
    caller: Caller, query: dict[str, Any]
) -> None:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    assert (await caller.send("GET", f"/v1/decisions?{asked}"))[0] == 422
