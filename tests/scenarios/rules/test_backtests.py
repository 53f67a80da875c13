"""R7: windows that nobody counted are tried all the same, and labels as of a moment."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from gateway.catalog.backtests import RUNNING, Backtests, Run
from gateway.sql.engine import open_engine
from tests.gateways import Caller, Gateway
from tests.scenarios.rules.rulebook import booked, cents, in_force, rule, rules, submit


async def test_a_window_that_nobody_counted_is_tried_as_if_it_had_been(
    caller: Caller, org: str
) -> None:
    since = datetime.now(UTC).isoformat()
    for n in range(12):
        context = {"device": f"{org}-{n % 4}"}
        await caller.authorize(org, key="k", context=context, **cents(100))
    draft = await submit(
        caller,
        rules(
            rule("spree", "block", 'velocity.cost("key", 70d) + amount > 5 USD'),
            rule("devices", "block", 'velocity.distinct("device", by "key", 70d) >= 3'),
            rule("nobody", "block", "org.id in @nobody"),
        ),
    )
    await booked(caller)
    found = await caller.ok("POST", f"/v1/rulesets/{draft}/backtest", {"from": since})
    hits = {rule["rule"]: rule["requests"] for rule in found["rules"]}
    assert hits == {"spree": 7, "devices": 9, "nobody": 0}
    (spree, devices, _) = found["rules"]
    assert (spree["overlaps"], spree["alone"]) == ({"devices": 7}, 0)
    assert (devices["overlaps"], devices["alone"]) == ({"spree": 7}, 2)
    assert (found["state"], found["looked_at"]) == ("done", found["rows"])
    assert await caller.ok("GET", f"/v1/backtests/{found['id']}") == found


async def test_r7_a_label_that_came_late_is_not_known_before(caller: Caller, org: str) -> None:
    since = datetime.now(UTC).isoformat()
    ruleset = await in_force(caller, rules(rule("large", "review", "amount > 5 USD")))
    answer = await caller.authorize(org, **cents(600))
    await booked(caller)
    before = await caller.ok("POST", f"/v1/decisions/{answer['id']}/replay", {})
    early = datetime.now(UTC).isoformat()
    await asyncio.sleep(0.1)
    await caller.ok("POST", "/v1/labels", {"decision": answer["id"], "label": "fraud"})

    async def frauds(**span: Any) -> tuple[int, int]:
        path = f"/v1/rulesets/{ruleset}/backtest"
        found = await caller.ok("POST", path, {"from": since, **span})
        assert (found["requests"], found["differs"]) == (1, 0)
        return found["fraud"], found["rules"][0]["fraud"]

    assert await frauds() == (1, 1)
    assert await frauds(labels_by=early) == (0, 0)
    assert await caller.ok("POST", f"/v1/decisions/{answer['id']}/replay", {}) == before


async def test_a_challenge_that_was_lifted_was_decided_as_it_would_be(
    caller: Caller, org: str
) -> None:
    since = datetime.now(UTC).isoformat()
    book = rules(
        rule("odd", "challenge", 'run == "odd"'),
        rule("again", "review", 'velocity.count("key", 1h) > 0'),
    )
    ruleset = await in_force(caller, book)
    asked = await caller.authorize(org, key="k", run="odd", **cents(1))
    passed = {"decision": asked["id"], "passed": True}
    lifted = await caller.authorize(org, key="k", run="odd", challenge=passed, **cents(1))
    assert (asked["decision"], lifted["decision"]) == ("challenge", "allow")
    assert lifted["risk"]["rules"] == ["odd", "again"]
    await booked(caller)
    found = await caller.ok("POST", f"/v1/rulesets/{ruleset}/backtest", {"from": since})
    assert (found["same"], found["differs"], found["stopped"]) == (2, 0, 1)


async def test_a_long_one_is_followed_and_cancelled_through_any_worker(
    caller: Caller, gateway: Gateway
) -> None:
    engine = open_engine(f"sqlite:///{gateway.directory / 'catalog.db'}")
    backtests, now_ms = Backtests(engine), round(1000 * datetime.now(UTC).timestamp())
    run = Run("bt_long", "rs_1", "cred_1", RUNNING, 500, 2_000, now_ms)
    await backtests.begin(run)
    status, told, _ = await caller.send("GET", "/v1/backtests/bt_long")
    assert (status, told["state"], told["looked_at"], told["rows"]) == (202, "running", 500, 2_000)
    assert (await caller.send("DELETE", "/v1/backtests/bt_long"))[0] == 204
    assert not await backtests.note(run), "its worker hears of it when it next notes how far it is"
    assert (await caller.ok("GET", "/v1/backtests/bt_long"))["state"] == "cancelled"
    await backtests.begin(Run("bt_lost", "rs_1", "cred_1", RUNNING, 500, 2_000, now_ms - 60_000))
    assert (await caller.ok("GET", "/v1/backtests/bt_lost"))["state"] == "lost"
    assert (await caller.send("GET", "/v1/backtests/bt_none"))[0] == 404
    await engine.dispose()
