"""Rules on what the store counted: they stop, and what was held is given back."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from tests.gateways import Caller, Gateway
from tests.scenarios.rules.rulebook import (
    USD,
    cents,
    in_force,
    metrics,
    rule,
    rules,
)

SPREE = rules(
    rule("spree", "block", 'velocity.cost("key", 1h) + amount > 3 USD'),
    rule("burst", "review", 'velocity.count("user", 1m) > 900'),
    rule("large", "block", "amount > 5 USD"),
)


async def funds(caller: Caller, org: str) -> tuple[int, int]:
    balance = await caller.ok("GET", f"/v1/orgs/{org}/balance")
    return balance["available_micros"], balance["held_micros"]


@pytest.mark.parametrize("capture", [False, True])
async def test_what_the_store_counted_stops_and_is_given_back(
    caller: Caller, org: str, capture: bool
) -> None:
    since = datetime.now(UTC).isoformat()
    ruleset = await in_force(caller, SPREE)
    asks = cents(50, capture=capture)
    answers = [
        await caller.authorize(org, key="k_1", idempotency_key=f"n{n}", **asks) for n in range(8)
    ]
    assert [answer["decision"] for answer in answers] == ["allow"] * 6 + ["deny"] * 2
    stopped = answers[-1]
    assert stopped["reasons"] == [
        {"code": "rule_blocked", "id": "spree", "detail": "spree says so"}
    ]
    assert (stopped["hold"], stopped["draws"]) == (None, [])
    assert (stopped["risk"]["rules"], stopped["risk"]["ruleset"]) == (["spree"], ruleset)
    assert await funds(caller, org) == (997 * USD, 0 if capture else 3 * USD)
    assert all((answer["hold"] is None) is capture for answer in answers[:6])
    assert answers[5]["balance"]["held_micros"] == (0 if capture else 3 * USD)
    again = await caller.authorize(org, key="k_1", idempotency_key="n7", **asks)
    assert again == stopped
    assert (await caller.authorize(org, key="k_2", **cents(50)))["decision"] == "allow"
    told = await caller.ok("GET", f"/v1/decisions/{stopped['id']}")
    assert (told["answer"]["decision"], told["risk"]["rules"]) == ("deny", ["spree"])
    assert told["hold"]["status"] == "released"
    found = await caller.ok("POST", f"/v1/rulesets/{ruleset}/backtest", {"from": since})
    assert (found["requests"], found["stopped"], found["differs"]) == (9, 2, 0)
    assert (await caller.ok("GET", "/v1/ledger/reconcile"))["ok"]


async def test_an_exemption_by_what_was_counted_lifts_what_the_request_says(
    caller: Caller, org: str
) -> None:
    text = rules(
        rule("known", "allow", 'velocity.count("user", 1h) > 1', expires_at="2099-01-01"),
        rule("large", "block", "amount > 5 USD"),
    )
    await in_force(caller, text)
    found = [(await caller.authorize(org, user="u", **cents(600)))["decision"] for _ in range(4)]
    assert found == ["deny", "deny", "allow", "allow"]


async def test_a_challenge_by_what_was_counted_is_lifted_for_good(caller: Caller, org: str) -> None:
    await in_force(caller, rules(rule("again", "challenge", 'velocity.count("user", 1h) > 0')))
    assert (await caller.authorize(org, user="u", **cents(1)))["decision"] == "allow"
    asked = await caller.authorize(org, user="u", **cents(1))
    assert (asked["decision"], asked["hold"]) == ("challenge", None)
    passed = cents(1, challenge={"decision": asked["id"], "passed": True})
    lifted = await caller.authorize(org, user="u", idempotency_key="l", **passed)
    assert lifted["decision"] == "allow"
    assert await caller.authorize(org, user="u", idempotency_key="l", **passed) == lifted


async def test_a_backtest_of_a_draft_equals_its_run_in_shadow(
    caller: Caller, org: str, gateway: Gateway
) -> None:
    since = datetime.now(UTC).isoformat()
    await in_force(caller, rules(rule("largest", "block", "amount > 7 USD")))
    shadow = await in_force(caller, SPREE, "shadow")
    asked = [
        await caller.authorize(org, key=f"k_{n % 3}", **cents((20, 90, 600, 800)[n % 4]))
        for n in range(40)
    ]
    assert sum(answer["decision"] == "deny" for answer in asked) == 10
    # What stood in shadow then is told of each decision, whatever has been changed since.
    await caller.ok("POST", f"/v1/rulesets/{shadow}/activate", {"mode": "retired"})
    await in_force(caller, rules(rule("other", "review", "amount > 0 USD")), "shadow")
    hits: Counter[str] = Counter()
    stopped = 0
    for answer in asked:
        told = (await caller.ok("GET", f"/v1/decisions/{answer['id']}"))["risk"]["shadows"]
        assert all(one["ruleset"] == shadow for one in told)
        hits.update(name for one in told for name in one["rules"])
        stopped += any(one["action"] == "block" for one in told)
    assert hits["spree"] > 10 and hits["large"] == 20
    found = await caller.ok("POST", f"/v1/rulesets/{shadow}/backtest", {"from": since})
    assert (found["requests"], found["stopped"]) == (40, stopped)
    assert {one["rule"]: one["requests"] for one in found["rules"] if one["requests"]} == hits
    await gateway.counted()
    counted = await metrics(caller)
    for name, count in hits.items():
        of = f'spendgate_shadow_matches_total{{rule="{name}",ruleset="{shadow}"}}'
        assert counted[of] == count
