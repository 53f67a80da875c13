"""Amounts, counts and times beyond their range are refused, and change nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.hostile import CAP, CARD, CONTRACT, MAX_MICROS, asked, refused
from tests.gateways import Caller, running

USE = {"kind": "correction", "note": ""}
LIMIT = {"level": "org", "unit": "tokens", "limit": 2**53}
QUOTA = {"id": "i", "amount_micros": 2**53, "period": "day"}
DEAR = {"a": {}, "cent": {"prices": {"units": 2**53}}}
BEYOND: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "amount": ("POST", "authorize", {"amount_micros": 2**53}, "/amount_micros"),
    "huge amount": ("POST", "authorize", {"amount_micros": 10**40}, "/amount_micros"),
    "quote": ("POST", "authorize", {"quantity": {"units": MAX_MICROS}}, "/quantity"),
    "count": ("POST", "authorize", {"quantity": {"x": 2**53}, "product": "no"}, "/quantity/x"),
    "hold": ("POST", "holds/{hold}/extend", {"amount_micros": MAX_MICROS}, "/amount_micros"),
    "extension": ("POST", "holds/{hold}/extend", {"amount_micros": 2**64}, "/amount_micros"),
    "extended": ("POST", "holds/{hold}/extend", {"quantity": {"units": 2**52}}, "/quantity"),
    "capture": ("POST", "holds/{hold}/capture", {"amount_micros": 2**53}, "/amount_micros"),
    "cost": ("POST", "holds/{hold}/capture", {"quantity": {"units": 2**52}}, "/quantity"),
    "grant": (
        "POST",
        "orgs/{org}/grants",
        {"amount_micros": 2**53, "kind": "paid"},
        "/amount_micros",
    ),
    "funds": (
        "POST",
        "orgs/{org}/grants",
        {"amount_micros": MAX_MICROS, "kind": "paid"},
        "/amount_micros",
    ),
    "minus": (
        "POST",
        "orgs/{org}/adjustments",
        {**USE, "amount_micros": -(2**53)},
        "/amount_micros",
    ),
    "set": (
        "POST",
        "orgs/{org}/adjustments",
        {**USE, "set_available_micros": 2**53},
        "/set_available_micros",
    ),
    "plus": ("POST", "orgs/{org}/adjustments", {**USE, "amount_micros": MAX_MICROS}, ""),
    "credit": ("PUT", "orgs/{org}", {"credit_line_micros": 2**53}, "/credit_line_micros"),
    "cap": ("PUT", "orgs/{org}/caps/c", {**CAP, "limit_micros": 2**53}, "/limit_micros"),
    "rate limit": ("PUT", "orgs/{org}/rate_limits/r", LIMIT, "/limit"),
    "own price": (
        "PUT",
        "orgs/{org}/contract",
        {**CONTRACT, "products": DEAR},
        "/products/cent/prices/units",
    ),
    "price": (
        "PUT",
        "rate_cards/{org}/versions/v1",
        {**CARD, "products": {"a": {"x": 1}, "b": {"x": 2**53}}},
        "/products/b/x",
    ),
    "plan's cap": (
        "PUT",
        "plans/{org}",
        {"rate_card": "default", "caps": [{**CAP, "id": "c", "limit_micros": 2**53}]},
        "/caps/0/limit_micros",
    ),
    "quota": (
        "PUT",
        "plans/{org}",
        {"rate_card": "default", "included": [QUOTA]},
        "/included/0/amount_micros",
    ),
}


@pytest.mark.parametrize(("method", "path", "body", "pointer"), BEYOND.values(), ids=BEYOND)
async def test_an_amount_beyond_the_range_is_refused_and_changes_nothing(
    caller: Caller, org: str, method: str, path: str, body: dict[str, Any], pointer: str
) -> None:
    await caller.org(org, 1_000_000)
    hold = (await caller.authorize(org))["hold"]["id"]
    before = await caller.balance(org), await caller.ok("GET", f"/v1/orgs/{org}")
    sent = asked(org, **body) if path == "authorize" else body
    answer = await caller.send(method, "/v1/" + path.format(org=org, hold=hold), sent)
    refused(answer, 422, "amount_out_of_range", pointer)
    assert (await caller.balance(org), await caller.ok("GET", f"/v1/orgs/{org}")) == before
    await caller.capture(hold, amount_micros=0)


async def test_funds_and_credit_together_stay_within_the_range(caller: Caller, org: str) -> None:
    await caller.org(org, 1)
    answer = await caller.send("PUT", f"/v1/orgs/{org}", {"credit_line_micros": MAX_MICROS})
    refused(answer, 422, "amount_out_of_range", "/credit_line_micros")
    await caller.ok("PUT", f"/v1/orgs/{org}", {"credit_line_micros": MAX_MICROS - 1})
    grant = {"amount_micros": 1, "kind": "paid"}
    answer = await caller.send("POST", f"/v1/orgs/{org}/grants", grant)
    refused(answer, 422, "amount_out_of_range", "/amount_micros")
    assert (await caller.balance(org))["available_micros"] == MAX_MICROS


async def test_a_shortfall_beyond_the_range_is_refused_and_changes_nothing(
    caller: Caller, org: str
) -> None:
    await caller.org(org, 1_000_000)
    holds = [(await caller.authorize(org))["hold"]["id"] for _ in range(2)]
    await caller.capture(holds[0], amount_micros=MAX_MICROS)
    before = await caller.balance(org)
    use = {"amount_micros": MAX_MICROS}
    answer = await caller.send("POST", f"/v1/holds/{holds[1]}/capture", use)
    refused(answer, 422, "amount_out_of_range", "/amount_micros")
    assert await caller.balance(org) == before
    await caller.release(holds[1])


async def test_a_unit_count_that_no_store_can_keep_harms_no_other_item_of_a_batch(
    caller: Caller, org: str
) -> None:
    await caller.org(org, 1_000_000)
    batch = {"requests": [asked(org), asked(org, product="none", quantity={"x": 2**64})]}
    good, bad = (await caller.ok("POST", "/v1/authorize/batch", batch))["results"]
    assert (good["decision"], bad["status"]) == ("allow", 422)


@pytest.mark.parametrize(
    "at", ["9999-12-31T23:59:59.999-23:59", "0001-01-01T00:00:00+23:59", "1969-12-31T23:59:59Z"]
)
async def test_a_time_that_cannot_be_told_again_is_refused(
    caller: Caller, org: str, at: str
) -> None:
    await caller.org(org, 1_000_000)
    before = await caller.balance(org)
    grant = {"amount_micros": 1, "kind": "paid"}
    for method, path, body in (
        ("POST", f"/v1/orgs/{org}/grants", {**grant, "expires_at": at}),
        ("POST", f"/v1/orgs/{org}/grants", {**grant, "effective_at": at}),
        ("PUT", f"/v1/orgs/{org}/keys/k", {"expires_at": at}),
        ("PUT", f"/v1/orgs/{org}/contract", {**CONTRACT, "starts_at": at}),
        ("PUT", f"/v1/rate_cards/{org}/versions/v1", {**CARD, "effective_at": at}),
    ):
        status, problem, _ = await caller.send(method, path, body)
        assert (status, problem["status"]) == (422, 422)
    assert await caller.balance(org) == before


async def test_the_end_of_9999_is_a_time(caller: Caller, org: str) -> None:
    await caller.org(org)
    grant = {"amount_micros": 1, "kind": "paid", "expires_at": "9999-12-31T23:59:59.999999Z"}
    await caller.ok("POST", f"/v1/orgs/{org}/grants", grant)
    (found,) = (await caller.balance(org))["grants"]
    assert found["expires_at"] == "9999-12-31T23:59:59.999Z"


async def test_no_flood_of_the_largest_debts_and_counts_breaks_the_books(tmp_path: Path) -> None:
    # 1,030 times the largest amount is more than a signed integer of 64 bits holds.
    with running(tmp_path) as gateway:
        async with Caller(gateway.address) as caller:
            card = {**CARD, "products": {"gift": {"x": 0}}}
            await caller.ok("PUT", "/v1/rate_cards/default/versions/v1", card)

            async def owe(number: int) -> None:
                made = await caller.authorize(f"free-{number}", "gift", amount_micros=0)
                await caller.capture(made["hold"]["id"], amount_micros=MAX_MICROS)

            for start in range(0, 1030, 103):
                await asyncio.gather(*(owe(number) for number in range(start, start + 103)))
            await caller.reconciled()
            for totals in (await caller.ok("GET", "/v1/ledger/trial_balance"))[
                "currencies"
            ].values():
                assert totals["debits_micros"] == totals["credits_micros"]

            await caller.org("glutton")
            gift = asked("glutton", product="gift", quantity={"x": MAX_MICROS}, capture=True)
            for _ in range(3):
                await caller.ok("POST", "/v1/authorize/batch", {"requests": [gift] * 400})
            await caller.reconciled()
            (row,) = (await caller.ok("GET", "/v1/orgs/glutton/usage?group_by="))["rows"]
            assert row["requests"] == 1200
            assert row["quantity"] == {"x": 1200 * MAX_MICROS}
