"""S16: versions of prices, one after the other and side by side."""

from __future__ import annotations

import asyncio

import pytest

from tests.gateways import Caller, Gateway
from tests.scenarios.books import Books
from tests.scenarios.steps import callers_of_every_worker, funds, version


class TestS16PriceVersions:
    async def test_a_hold_keeps_the_version_it_was_quoted_with(
        self, caller: Caller, books: Books, org: str
    ) -> None:
        card, old, new = f"card-{org}", "2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"
        await version(caller, card, "v1", old, 10)
        await caller.ok("PUT", f"/v1/plans/{card}", {"rate_card": card})
        await caller.org(org, 100_000, plan=card)
        asked = {"product": "thing", "quantity": {"units": 100}}
        before = [await caller.authorize(org, **asked) for _ in range(3)]
        await version(caller, card, "v2", new, 25)
        after = [await caller.authorize(org, **asked) for _ in range(3)]

        for answers, name, price in ((before, "v1", 10), (after, "v2", 25)):
            assert {a["quote"]["rate_card"] for a in answers} == {f"{card}@{name}"}
            assert {a["quote"]["amount_micros"] for a in answers} == {100 * price}
            ids = [a["hold"]["id"] for a in answers]
            grown = await caller.ok(
                "POST", f"/v1/holds/{ids[1]}/extend", {"quantity": {"units": 20}}
            )
            assert grown["hold"]["amount_micros"] == 120 * price
            for hold, used in zip(ids, (30, 120, 150), strict=True):
                done = await caller.capture(hold, quantity={"units": used})
                assert done["captured_micros"] == used * price
                kept = await caller.ok("GET", f"/v1/holds/{hold}")
                assert kept["quote"]["rate_card"] == f"{card}@{name}"
        assert await funds(caller, org) == (100_000 - 300 * (10 + 25), 0, 0)
        await caller.reconciled()
        assert books.charges(org) == (6, 300 * (10 + 25), 0)

    async def test_a_version_never_changes(self, caller: Caller, org: str) -> None:
        since = "2020-01-01T00:00:00Z"
        await version(caller, org, "v1", since, 10)
        await version(caller, org, "v1", since, 10)
        with pytest.raises(AssertionError, match="version_exists"):
            await version(caller, org, "v1", since, 11)

    async def test_two_orgs_on_two_versions_of_one_card_side_by_side(
        self, caller: Caller, books: Books, org: str
    ) -> None:
        card = f"card-{org}"
        await version(caller, card, "v1", "2020-01-01T00:00:00Z", 10)
        await version(caller, card, "v2", "2021-01-01T00:00:00Z", 25)
        await caller.ok("PUT", f"/v1/plans/{card}", {"rate_card": card})
        rows = {
            # contract of the org → version and micros of a unit
            f"{org}-old": ({"version": "v1"}, "v1", 10),
            f"{org}-new": ({"version": "v2"}, "v2", 25),
            f"{org}-now": (None, "v2", 25),
            f"{org}-less": ({"version": "v1", "discount_bps": 5000}, "v1", 5),
        }
        for one, (contract, _, _) in rows.items():
            await caller.org(one, 1_000_000, plan=card)
            if contract:
                body = {"rate_card": card, "starts_at": "2020-01-01T00:00:00Z", **contract}
                await caller.ok("PUT", f"/v1/orgs/{one}/contract", body)

        async def buy(one: str, units: int) -> None:
            _, name, price = rows[one]
            answer = await caller.authorize(one, "thing", quantity={"units": 50})
            assert answer["quote"]["rate_card"] == f"{card}@{name}"
            assert answer["quote"]["amount_micros"] == 50 * price
            done = await caller.capture(answer["hold"]["id"], quantity={"units": units})
            assert done["captured_micros"] == units * price

        await asyncio.gather(*(buy(one, units) for units in range(20) for one in rows))
        await caller.reconciled()
        for one, (_, _, price) in rows.items():
            assert books.charges(one) == (20, sum(range(20)) * price, 0)
            assert await funds(caller, one) == (1_000_000 - sum(range(20)) * price, 0, 0)

    async def test_a_new_version_prices_the_very_next_request_on_every_worker(
        self, caller: Caller, gateway: Gateway, org: str
    ) -> None:
        """Whatever a worker knew before: another price, or units it had never heard of."""
        await version(caller, org, "v1", "2020-01-01T00:00:00Z", 10)
        await caller.ok("PUT", f"/v1/plans/{org}", {"rate_card": org})
        await caller.org(org, 1_000_000, plan=org)
        versions = [("v2", "2021-01-01T00:00:00Z", 25, "units"),
                    ("v3", "2022-01-01T00:00:00Z", 30, "pages"),
                    ("v4", "2023-01-01T00:00:00Z", 35, "units")]  # fmt: skip
        async with callers_of_every_worker(gateway) as callers:
            for name, since, price, unit in versions:
                await version(caller, org, name, since, price, unit)
                asked = {"quantity": {unit: 2}, "capture": True}
                bodies = [
                    one.send(
                        "POST",
                        "/v1/authorize",
                        {"subject": {"org": org}, "product": "thing", **asked},
                    )
                    for one in callers
                ]
                answers = [(status, answer) for status, answer, _ in await asyncio.gather(*bodies)]
                assert [status for status, _ in answers] == [200] * len(callers), answers
                assert {a["quote"]["rate_card"] for _, a in answers} == {f"{org}@{name}"}
                assert {a["quote"]["amount_micros"] for _, a in answers} == {2 * price}

    async def test_a_worker_that_has_not_met_an_org_prices_it_by_its_own_plan(
        self, caller: Caller, gateway: Gateway, org: str
    ) -> None:
        """The default card prices the same product in other units, or not at all."""
        own = {
            "effective_at": "2020-01-01T00:00:00Z",
            "currency": "EUR",
            "products": {"gpt-4o": {"words": 5_000_000}, "thing": {"units": 7_000_000}},
        }
        await caller.ok("PUT", f"/v1/rate_cards/{org}/versions/v1", own)
        await caller.ok("PUT", f"/v1/plans/{org}", {"rate_card": org})
        async with callers_of_every_worker(gateway) as callers:
            for product, unit, cost in (("gpt-4o", "words", 15), ("thing", "units", 21)):
                one = f"{org}-{product}"
                await caller.org(one, 1_000_000, plan=org, currency="EUR")
                body = {"subject": {"org": one}, "product": product, "quantity": {unit: 3}}
                answers = await asyncio.gather(
                    *(c.send("POST", "/v1/authorize", body) for c in callers)
                )
                assert [status for status, _, _ in answers] == [200] * len(callers), answers
                assert {a["quote"]["amount_micros"] for _, a, _ in answers} == {cost}
                assert {a["quote"]["currency"] for _, a, _ in answers} == {"EUR"}

    async def test_every_worker_extends_and_captures_a_hold_that_another_made(
        self, caller: Caller, gateway: Gateway, org: str
    ) -> None:
        async with callers_of_every_worker(gateway) as callers:
            for n in range(4):
                one = await caller.org(f"{org}-{n}", 1_000_000)
                hold = (await caller.authorize(one, amount_micros=10))["hold"]["id"]
                path = f"/v1/holds/{hold}/extend"
                answers = await asyncio.gather(
                    *(c.send("POST", path, {"amount_micros": 10}) for c in callers)
                )
                assert [status for status, _, _ in answers] == [200] * len(callers), answers
                assert await funds(caller, one) == (1_000_000 - 130, 130, 0)
                done = await callers[n].capture(hold, amount_micros=150)
                assert (done["captured_micros"], done["shortfall_micros"]) == (150, 0)

    async def test_a_plan_that_moved_to_another_card_prices_the_next_org_by_that_one(
        self, caller: Caller, gateway: Gateway, org: str
    ) -> None:
        for currency, price in (("USD", 2), ("EUR", 3)):
            card = {
                "effective_at": "2020-01-01T00:00:00Z",
                "currency": currency,
                "products": {"thing": {"units": price * 1_000_000}},
            }
            await caller.ok("PUT", f"/v1/rate_cards/{org}-{currency}/versions/v1", card)
        async with callers_of_every_worker(gateway) as callers:
            for currency, price in (("USD", 2), ("EUR", 3)):
                await caller.ok("PUT", f"/v1/plans/{org}", {"rate_card": f"{org}-{currency}"})
                one = f"{org}-in-{currency}"
                await caller.org(one, 1_000_000, plan=org, currency=currency)
                body = {"subject": {"org": one}, "product": "thing", "quantity": {"units": 5}}
                answers = await asyncio.gather(
                    *(c.send("POST", "/v1/authorize", body) for c in callers)
                )
                assert [status for status, _, _ in answers] == [200] * len(callers), answers
                assert {a["quote"]["amount_micros"] for _, a, _ in answers} == {5 * price}
                if currency == "USD":
                    # Nobody is left on the plan in this currency: it may move to another.
                    await caller.ok("PUT", f"/v1/orgs/{one}", {"plan": "payg"})


async def test_after_all_this_the_whole_ledger_reconciles(caller: Caller) -> None:
    await caller.reconciled()
