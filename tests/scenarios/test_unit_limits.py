"""Caps and rate limits of units, rolling caps, and grants for one of an org."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.gateways import Caller
from tests.scenarios.steps import CENT, codes, funds

TOKENS = ["input_tokens", "output_tokens"]
A_DAY = {"level": "org", "window": "day"}


async def put_cap(caller: Caller, org: str, **body: Any) -> Any:
    return await caller.ok("PUT", f"/v1/orgs/{org}/caps/cap", {"level": "org", **body})


async def of_balance(caller: Caller, org: str) -> Any:
    (cap,) = (await caller.balance(org))["caps"]
    return cap


def tokens(count: int) -> dict[str, Any]:
    return {
        "product": "gpt-4o",
        "quantity": {"input_tokens": count // 2, "output_tokens": count // 2},
    }


@pytest.mark.parametrize(
    ("window", "kind"), [({"window": "day"}, "cap"), ({"window_s": 86_400}, "cap")]
)
async def test_tokens_a_day_hold_however_they_are_captured(
    caller: Caller, org: str, window: Any, kind: str
) -> None:
    await caller.org(org, 1_000 * CENT)
    made = await put_cap(caller, org, **window, units=TOKENS, limit=1_000)
    assert (made["units"], made["limit"], made["limit_micros"]) == (TOKENS, 1_000, None)
    first = await caller.authorize(org, **tokens(600))
    (shown,) = first["limits"]
    assert (shown["kind"], shown["unit"], shown["limit"]) == (kind, "+".join(TOKENS), 1_000)
    assert shown["used"] + shown["held"] == 600
    assert shown["remaining"] == 400
    assert "limit_micros" not in shown
    denied = await caller.authorize(org, **tokens(402))
    assert codes(denied) == ["cap_exceeded"]
    assert denied["status_hint"] == 402
    assert "tokens" in denied["reasons"][0]["detail"]
    await caller.capture(first["hold"]["id"], quantity={"input_tokens": 100})
    assert (await of_balance(caller, org))["remaining"] == 900
    second = await caller.authorize(org, **tokens(900))
    assert second["decision"] == "allow"
    await caller.release(second["hold"]["id"])
    assert (await of_balance(caller, org))["remaining"] == 900
    third = await caller.authorize(org, **tokens(500))
    await caller.capture(third["hold"]["id"], amount_micros=7)
    row = await of_balance(caller, org)
    assert (row["used"], row["held"], row["remaining"]) == (600, 0, 400)
    assert "used_micros" not in row
    await caller.reconciled()


async def test_other_units_neither_count_nor_are_refused(caller: Caller, org: str) -> None:
    await caller.org(org, 1_000 * CENT)
    await put_cap(caller, org, window="month", units=["images"], limit=0)
    image = {"product": "image", "quantity": {"images": 1}}
    assert codes(await caller.authorize(org, **image)) == ["cap_exceeded"]
    assert (await caller.authorize(org, **tokens(10)))["decision"] == "allow"
    await put_cap(caller, org, window="month", units=["images"], limit=1)
    hold = (await caller.authorize(org, **image))["hold"]["id"]
    assert codes(await caller.authorize(org, **image)) == ["cap_exceeded"]
    extended = await caller.ok("POST", f"/v1/holds/{hold}/extend", {"quantity": {"images": 1}})
    assert codes(extended) == ["cap_exceeded"]


async def test_a_rolling_cap_counts_money_of_any_such_time(caller: Caller, org: str) -> None:
    await caller.org(org, 1_000 * CENT)
    made = await put_cap(caller, org, window_s=86_400, limit_micros=10 * CENT)
    assert (made["window"], made["window_s"]) == (None, 86_400)
    answer = await caller.authorize(org, quantity={"units": 6})
    (shown,) = answer["limits"]
    assert (shown["unit"], shown["used"], shown["remaining"]) == ("micros", 6 * CENT, 4 * CENT)
    assert (shown["limit_micros"], shown["remaining_micros"]) == (10 * CENT, 4 * CENT)
    assert codes(await caller.authorize(org, quantity={"units": 5})) == ["cap_exceeded"]
    assert (await caller.authorize(org, quantity={"units": 5}))["max_affordable_micros"] == 4 * CENT
    await caller.capture(answer["hold"]["id"], quantity={"units": 2})
    assert (await of_balance(caller, org))["used_micros"] == 2 * CENT


async def test_a_rolling_cap_of_each_user_shows_who_is_how_far(caller: Caller, org: str) -> None:
    await caller.org(org, 1_000 * CENT)
    await put_cap(caller, org, level="user", window_s=3600, limit_micros=5 * CENT)
    for user, units in (("u1", 1), ("u2", 3)):
        await caller.authorize(org, user=user, quantity={"units": units}, capture=True)
    rows = (await caller.balance(org))["caps"]
    assert [(row["target"], row["used_micros"]) for row in rows] == [("u2", 3 * CENT), ("u1", CENT)]


async def test_a_cap_of_units_is_hard_under_concurrency(caller: Caller, org: str) -> None:
    await caller.org(org, 10_000 * CENT)
    await put_cap(caller, org, window="lifetime", units=["images"], limit=25)
    image = {"product": "image", "quantity": {"images": 1}}
    answers = await asyncio.gather(*(caller.authorize(org, **image) for _ in range(60)))
    assert sum(answer["decision"] == "allow" for answer in answers) == 25
    row = await of_balance(caller, org)
    assert (row["used"], row["held"], row["remaining"]) == (0, 25, 0)


async def test_a_rate_limit_counts_its_units(caller: Caller, org: str) -> None:
    await caller.org(org, 1_000 * CENT)
    path = f"/v1/orgs/{org}/rate_limits/input"
    body = {"level": "org", "units": ["input_tokens"], "limit": 100, "window_s": 3600}
    made = await caller.ok("PUT", path, body)
    assert (made["unit"], made["units"]) == (None, ["input_tokens"])
    quantity = {"input_tokens": 60, "output_tokens": 900}
    first = await caller.authorize(org, "gpt-4o", quantity=quantity)
    assert [(row["kind"], row["unit"], row["used"]) for row in first["limits"]] == [
        ("units", "input_tokens", 60)
    ]
    denied = await caller.authorize(org, "gpt-4o", quantity=quantity)
    assert codes(denied) == ["rate_limited"]
    assert denied["retry_after_s"] > 0
    partial = {"unit": "input_tokens", "at_least": 1}
    part = await caller.authorize(org, "gpt-4o", quantity=quantity, partial=partial)
    assert part["granted_quantity"]["input_tokens"] == 40
    await caller.capture(first["hold"]["id"], quantity={"output_tokens": 5})
    again = await caller.authorize(org, "gpt-4o", quantity=quantity)
    assert again["decision"] == "allow"
    assert (await caller.ok("PATCH", path, {"limit": 7}))["units"] == ["input_tokens"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (A_DAY, "/limit_micros"),
        (A_DAY | {"units": ["images"]}, "/limit"),
        (A_DAY | {"limit": 5}, "/units"),
        (A_DAY | {"limit_micros": 5, "units": ["images"], "limit": 5}, "/limit_micros"),
        (A_DAY | {"window_s": 60, "limit_micros": 5}, "/window_s"),
        ({"level": "org", "limit_micros": 5}, "/window"),
        (A_DAY | {"units": [], "limit": 5}, "/units"),
        (A_DAY | {"units": ["a b"], "limit": 5}, "/units/0"),
        ({"level": "org", "window_s": 0, "limit_micros": 5}, "/window_s"),
    ],
)
async def test_a_cap_that_says_too_much_or_too_little_is_refused(
    caller: Caller, org: str, body: Any, pointer: str
) -> None:
    await caller.org(org)
    status, problem, _ = await caller.send("PUT", f"/v1/orgs/{org}/caps/c", body)
    assert (status, problem["errors"][0]["pointer"]) == (422, pointer)
    plan = {"rate_card": "default", "caps": [{**body, "id": "c"}]}
    status, problem, _ = await caller.send("PUT", f"/v1/plans/p-{org}", plan)
    assert (status, problem["errors"][0]["pointer"]) == (422, f"/caps/0{pointer}")


async def test_a_cap_changes_its_measure_and_keeps_what_is_not_named(
    caller: Caller, org: str
) -> None:
    await caller.org(org)
    made = await put_cap(caller, org, window="day", units=["images"], limit=5, alert_at=[80])
    assert made["alerts"] == "not delivered yet"
    path = f"/v1/orgs/{org}/caps/cap"
    after = await caller.ok("PATCH", path, {"limit": 9})
    assert (after["units"], after["limit"], after["window"]) == (["images"], 9, "day")
    after = await caller.ok("PATCH", path, {"window_s": 60})
    assert (after["limit"], after["window"], after["window_s"]) == (9, None, 60)
    after = await caller.ok("PATCH", path, {"limit_micros": 7, "alert_at": None})
    assert (after["limit_micros"], after["units"], after["limit"]) == (7, None, None)
    assert "alerts" not in after
    for units in ({"unit": "tokens", "units": ["images"]}, {}):
        body = {"level": "org", "limit": 5, **units}
        assert (await caller.send("PUT", f"/v1/orgs/{org}/rate_limits/r", body))[0] == 422


async def give(caller: Caller, org: str, amount: int, **more: Any) -> str:
    body = {"amount_micros": amount, "kind": "paid", **more}
    return str((await caller.ok("POST", f"/v1/orgs/{org}/grants", body))["id"])


async def test_a_grant_for_one_pays_for_that_one_alone_and_first(caller: Caller, org: str) -> None:
    await caller.org(org)
    pool = await give(caller, org, 2 * CENT, priority=1)
    of_user = await give(caller, org, 3 * CENT, **{"for": {"user": "jane"}})
    of_key = await give(caller, org, 1 * CENT, **{"for": {"key": "k1"}}, priority=99)
    answer = await caller.authorize(org, user="jane", key="k1", quantity={"units": 5}, capture=True)
    assert [draw["source"] for draw in answer["draws"]] == [of_key, of_user, pool]
    assert (await funds(caller, org))[0] == CENT
    assert codes(await caller.authorize(org, user="john", quantity={"units": 2})) == [
        "insufficient_funds"
    ]
    assert (await caller.authorize(org, user="john"))["decision"] == "allow"
    shown = {one["id"]: one["for"] for one in (await caller.balance(org))["grants"]}
    assert shown.get(of_user) in (None, {"user": "jane"})
    listed = await caller.ok("GET", f"/v1/orgs/{org}/grants/{of_user}")
    assert listed["for"] == {"user": "jane"}
    await caller.reconciled()


async def test_one_users_grant_is_never_spent_by_a_correction(caller: Caller, org: str) -> None:
    await caller.org(org)
    await give(caller, org, 3 * CENT, **{"for": {"project": "search"}})
    body = {"kind": "correction", "note": "n", "amount_micros": -CENT}
    made = await caller.ok("POST", f"/v1/orgs/{org}/adjustments", body)
    assert made["shortfall_micros"] == CENT
    answer = await caller.authorize(org, project="search", quantity={"units": 3})
    assert answer["decision"] == "allow"
    await caller.reconciled()


@pytest.mark.parametrize("whom", [{}, {"user": "a", "key": "b"}, {"org": "x"}, {"user": " a"}])
async def test_a_grant_is_for_one(caller: Caller, org: str, whom: Any) -> None:
    await caller.org(org)
    body = {"amount_micros": 1, "kind": "paid", "for": whom}
    status, problem, _ = await caller.send("POST", f"/v1/orgs/{org}/grants", body)
    assert status == 422
    assert problem["errors"][0]["pointer"].startswith("/for")


async def test_one_users_grant_pays_no_debt_of_others(caller: Caller, org: str) -> None:
    await caller.org(org)
    await give(caller, org, CENT)
    hold = (await caller.authorize(org, user="john"))["hold"]["id"]
    await caller.capture(hold, quantity={"units": 6})
    assert (await funds(caller, org))[2] == 5 * CENT
    body = {"amount_micros": 10 * CENT, "kind": "paid", "for": {"user": "jane"}}
    made = await caller.ok("POST", f"/v1/orgs/{org}/grants", body)
    assert (made["remaining_micros"], made["settled_shortfall_micros"]) == (10 * CENT, 0)
    answer = await caller.authorize(org, user="jane", quantity={"units": 10})
    assert answer["decision"] == "allow"
    await give(caller, org, 10 * CENT)
    assert (await funds(caller, org))[2] == 0
    await caller.reconciled()


@pytest.mark.parametrize("unit", ["concurrent", "requests", "tokens"])
async def test_a_unit_may_have_the_name_of_a_kind_of_limit(
    caller: Caller, org: str, unit: str
) -> None:
    await caller.org(org, 10 * CENT)
    path = f"/v1/orgs/{org}/rate_limits/r"
    await caller.ok("PUT", path, {"level": "org", "unit": unit, "limit": 100})
    await caller.authorize(org)
    after = await caller.ok("PATCH", path, {"units": [unit], "limit": 5})
    assert (after["unit"], after["units"]) == (None, [unit])
    answer = await caller.authorize(org)
    assert [(row["unit"], row["used"]) for row in answer["limits"]] == [(unit, 0)]


async def test_less_money_is_no_hint_where_units_refuse(caller: Caller, org: str) -> None:
    await caller.org(org, 1_000 * CENT)
    await put_cap(caller, org, window="month", units=["images"], limit=1)
    denied = await caller.authorize(org, "image", quantity={"images": 2})
    assert codes(denied) == ["cap_exceeded"]
    assert "max_affordable_micros" not in denied
