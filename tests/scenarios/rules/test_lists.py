"""Lists: whoever is put on one is met by the next request; built-in ones come before all rules."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.gateways import Caller, running
from tests.scenarios.rules import alone
from tests.scenarios.rules.rulebook import CARD, cents, in_force, rule, rules
from tests.scenarios.steps import eventually

gateway = alone.gateway
LARGE = rules(rule("large", "block", "amount > 5 USD"))


def later(**span: float) -> str:
    return (datetime.now(UTC) + timedelta(**span)).isoformat()


async def send(caller: Caller, *sent: Any) -> tuple[int, Any]:
    return (await caller.send(*sent))[:2]


async def put(caller: Caller, name: str, value: str, **body: Any) -> dict[str, Any]:
    return await caller.ok("PUT", f"/v1/lists/{name}/items/{value}", body)


async def test_an_item_is_met_by_the_next_request_and_gone_with_the_next(
    caller: Caller, org: str
) -> None:
    name, device = f"seen-{org}", f"device-{org}"
    await in_force(caller, rules(rule("known", "block", f"context.device in @{name}")))

    async def decision() -> str:
        answer = await caller.authorize(org, context={"device": device}, **cents(1))
        return str(answer["decision"])

    assert await decision() == "allow"
    put_ = await put(caller, name, device, note="returned the goods", expires_at=later(hours=1))
    assert await decision() == "deny"
    got = await caller.ok("GET", f"/v1/lists/{name}/items/{device}")
    assert got == put_ and got["note"] == "returned the goods"
    status, _ = await send(caller, "DELETE", f"/v1/lists/{name}/items/{device}")
    assert (status, await decision()) == (204, "allow")
    for method in ("GET", "DELETE"):
        status, _ = await send(caller, method, f"/v1/lists/{name}/items/{device}")
        assert status == 404


async def test_an_item_expires_by_itself(caller: Caller, org: str) -> None:
    name = f"short-{org}"
    await in_force(caller, rules(rule("listed", "block", f"org.id in @{name}")))
    await put(caller, name, org, expires_at=later(seconds=3))
    assert (await caller.authorize(org, **cents(1)))["decision"] == "deny"

    async def decision() -> str:
        return str((await caller.authorize(org, **cents(1)))["decision"])

    await eventually(decision, "allow")


@pytest.mark.parametrize(
    ("value", "context"),
    [
        ("2001:DB8:0::0:1", {"ip": "2001:db8::1"}),
        ("198.51.100.77/24", {"ip": "198.51.100.3"}),
        ("64511", {"asn": 64511}),
        ("throwaway.example", {"email_domain": "ThrowAway.example"}),
    ],
)
async def test_a_value_is_found_however_it_is_spelled(
    caller: Caller, org: str, value: str, context: dict[str, Any]
) -> None:
    name = f"spelled-{uuid.uuid4().hex[:8]}"
    (field,) = context
    field = "network" if "/" in value else field
    await in_force(caller, rules(rule("listed", "block", f"context.{field} in @{name}")))
    await caller.ok("POST", f"/v1/lists/{name}/items", {"items": [{"value": value}]})
    answer = await caller.authorize(org, context=context, **cents(1))
    assert (answer["decision"], answer["reasons"][0]["id"]) == ("deny", "listed")


async def test_the_block_list_stops_without_any_rules_and_before_exemptions(
    caller: Caller, org: str
) -> None:
    exempt = rules(
        rule("vip", "allow", "amount > 0 USD", expires_at="2099-01-01"),
        rule("l", "block", "amount > 5 USD"),
    )
    for held, ruleset in enumerate((None, exempt), 1):
        if ruleset:
            await in_force(caller, ruleset)
        await put(caller, "block", f"user:{org}/u_1")
        for capture in (False, True):
            answer = await caller.authorize(org, user="u_1", **cents(9, capture=capture))
            told = [(r["code"], r["id"], r["detail"]) for r in answer["reasons"]]
            assert told == [("list_blocked", "block", "the user is on the block list")]
            assert (answer["decision"], answer["hold"], answer["draws"]) == ("deny", None, [])
        assert (await caller.authorize(org, user="other", **cents(1)))["decision"] == "allow"
        replay = await caller.ok("POST", f"/v1/decisions/{answer['id']}/replay", {})
        assert replay["same"]
        balance = await caller.ok("GET", f"/v1/orgs/{org}/balance")
        assert balance["held_micros"] == 10_000 * held


async def test_the_allow_list_lifts_rules_but_no_cap_and_no_block(caller: Caller, org: str) -> None:
    ruleset = await in_force(caller, LARGE)
    status, problem = await send(caller, "PUT", f"/v1/lists/allow/items/org:{org}", {})
    assert (status, problem["errors"][0]["pointer"]) == (422, "/expires_at")
    await put(caller, "allow", f"org:{org}", expires_at=later(days=1))
    answer = await caller.authorize(org, **cents(600, capture=True))
    assert (answer["decision"], answer["draws"][0]["amount_micros"]) == ("allow", 6_000_000)
    assert answer["risk"]["rules"] == ["@allow:org", "large"]
    other = await caller.authorize(f"free-{org}", **cents(600))
    assert other["decision"] == "deny"
    cap = {"level": "org", "window": "day", "limit_micros": 5_500_000}
    await caller.ok("PUT", f"/v1/orgs/{org}/caps/daily", cap)
    capped = await caller.authorize(org, **cents(600))
    assert [reason["code"] for reason in capped["reasons"]] == ["cap_exceeded"]
    await put(caller, "block", f"key:{org}/k_1")
    blocked = await caller.authorize(org, key="k_1", **cents(1))
    assert [reason["code"] for reason in blocked["reasons"]] == ["list_blocked"]
    for one in (answer, blocked):
        assert (await caller.ok("POST", f"/v1/decisions/{one['id']}/replay", {}))["same"]
    found = await caller.ok("POST", f"/v1/rulesets/{ruleset}/backtest", {})
    assert found["differs"] == 0 and found["same"] > 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("bad", value) for value in ("%20" * 700, "%00", "a" * 700)),
        *(("bad", value) for value in ("10.0.0.0/8", "2001:db8::/64")),
        *(("block", value) for value in ("acme", "ip:nowhere", "ip:10.0.0.0/24", "user:u_1")),
        *(("block", value) for value in ("network:10.0.0.1", "asn:x", "weather:fine", "org:")),
        *(
            ("block", value)
            for value in ("country:DEU", "user:a/b/c", "org:a%20", "asn:99999999999")
        ),
    ],
)
async def test_what_can_stand_on_no_list_is_refused(caller: Caller, name: str, value: str) -> None:
    status, problem = await send(caller, "PUT", f"/v1/lists/{name}/items/{value}", {})
    assert (status, problem["type"].rpartition(":")[2]) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("value", "whose"),
    [
        ("ip:203.0.113.77/32", {"ip": "203.0.113.77"}),
        ("network:203.0.114.9/24", {"ip": "203.0.114.1"}),
        ("email_domain:Spam.example", {"email_domain": "spam.example"}),
        ("country:aq", {"country": "AQ"}),
        ("asn:64999", {"asn": 64999}),
        ("device:Q", {"device": "Q"}),
        ("ip:203.0.113.78", {"ip": "::ffff:203.0.113.78"}),
        ("ip:2001:db8::9", {"ip": "2001:db8::9%eth0"}),
        ("network:198.51.107.0/24", {"ip": "::ffff:198.51.107.1"}),
        ("email_domain:evil.example", {"email_domain": "Evil.example."}),
        ("asn:0064998", {"asn": 64998}),
    ],
)
async def test_a_built_in_list_stops_by_what_its_item_says(
    caller: Caller, org: str, value: str, whose: dict[str, Any]
) -> None:
    await put(caller, "block", value, expires_at=later(minutes=1))
    try:
        answer = await caller.authorize(org, context=whose, **cents(1))
        assert [reason["code"] for reason in answer["reasons"]] == ["list_blocked"]
        (text,) = (str(one) for one in whose.values())
        other = await caller.authorize(org, user="u", context={"user_agent": text}, **cents(1))
        assert other["decision"] == "allow"
    finally:
        assert (await send(caller, "DELETE", f"/v1/lists/block/items/{value}"))[0] == 204


async def test_whom_a_list_and_a_rule_stop_is_told_both(caller: Caller, org: str) -> None:
    ruleset = await in_force(caller, LARGE)
    await put(caller, "block", f"user:{org}/u_9")
    answer = await caller.authorize(org, user="u_9", **cents(600))
    told = [(reason["code"], reason["id"]) for reason in answer["reasons"]]
    assert told == [("list_blocked", "block"), ("rule_blocked", "large")]
    assert answer["risk"]["rules"] == ["@block:user", "large"]
    poor = await caller.authorize(org, user="u_9", **cents(1_000_000))
    assert [reason["code"] for reason in poor["reasons"]] == ["insufficient_funds"]
    for one in (answer, poor):
        assert (await caller.ok("POST", f"/v1/decisions/{one['id']}/replay", {}))["same"]
    found = await caller.ok("POST", f"/v1/rulesets/{ruleset}/backtest", {})
    assert found["differs"] == 0 and found["same"] > 0


async def test_the_second_item_ever_is_met_by_the_next_request_as_all_others(
    tmp_path: Path,
) -> None:
    with running(tmp_path, workers=2) as gateway:
        async with Caller(gateway.address) as caller:
            await caller.ok("PUT", "/v1/rate_cards/default/versions/v1", CARD)
            first = asyncio.create_task(put(caller, "block", "org:one"))
            await asyncio.sleep(0.05)
            await put(caller, "block", "org:two")
            answers = [await caller.authorize("two", **cents(1)) for _ in range(8)]
            assert {answer["decision"] for answer in answers} == {"deny"}
            await first


async def test_what_looks_like_an_address_may_be_the_id_of_something(
    caller: Caller, org: str
) -> None:
    name = f"devices-{org}"
    await in_force(caller, rules(rule("lost", "block", f"context.device in @{name}")))
    device = "00:11:22:33:44:55:66:77"
    await put(caller, name, device)
    answer = await caller.authorize(org, context={"device": device}, **cents(1))
    assert answer["decision"] == "deny"
    assert (await send(caller, "DELETE", f"/v1/lists/{name}/items/{device}"))[0] == 204
    answer = await caller.authorize(org, context={"device": device}, **cents(1))
    assert answer["decision"] == "allow"


async def test_an_address_is_one_item_however_it_is_spelled(caller: Caller, org: str) -> None:
    name = f"addresses-{org}"
    await put(caller, name, "2001:DB8::1", note="first")
    told = await caller.ok("GET", f"/v1/lists/{name}/items/2001:db8:0:0::1")
    assert told["note"] == "first"
    await put(caller, name, "2001:db8::1", note="second")
    assert (await caller.ok("GET", f"/v1/lists/{name}/items/2001:DB8::1"))["note"] == "second"
    assert (await send(caller, "DELETE", f"/v1/lists/{name}/items/2001:db8::1"))[0] == 204
    assert (await send(caller, "GET", f"/v1/lists/{name}/items/2001:DB8::1"))[0] == 404


async def test_who_is_exempt_and_blocked_is_told_of_the_list_alone(
    caller: Caller, org: str
) -> None:
    await in_force(caller, rules(rule("any", "block", "amount > 0 USD")))
    await put(caller, "allow", f"user:{org}/u_5", expires_at=later(minutes=1))
    assert (await caller.authorize(org, user="u_5", **cents(1)))["decision"] == "allow"
    await put(caller, "block", f"key:{org}/k_5")
    answer = await caller.authorize(org, user="u_5", key="k_5", **cents(1))
    assert [reason["code"] for reason in answer["reasons"]] == ["list_blocked"]


async def test_which_of_many_items_is_wrong_is_told(caller: Caller) -> None:
    items = [{"value": "org:acme"}, {"value": "acme"}]
    status, problem = await send(caller, "POST", "/v1/lists/block/items", {"items": items})
    assert (status, problem["errors"][0]["pointer"]) == (422, "/items/1/value")


async def test_an_item_is_of_one_field_and_of_one_org(caller: Caller, org: str) -> None:
    await put(caller, "block", f"user:{org}/u_7")
    for subject in ({"key": "u_7"}, {"project": "u_7"}, {"context": {"device": "u_7"}}):
        assert (await caller.authorize(org, **subject, **cents(1)))["decision"] == "allow"
    assert (await caller.authorize(f"free-{org}", user="u_7", **cents(1)))["decision"] == "allow"
    assert (await caller.authorize(org, user="u_7", **cents(1)))["decision"] == "deny"


async def test_an_item_that_has_expired_is_refused(caller: Caller) -> None:
    body = {"expires_at": later(seconds=-5)}
    status, problem = await send(caller, "PUT", "/v1/lists/bad/items/x", body)
    assert (status, problem["errors"][0]["pointer"]) == (422, "/expires_at")
