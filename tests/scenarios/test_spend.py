"""S9, S10, S11: what a request may cost, and what it does cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.gateways import Caller
from tests.scenarios.books import Books
from tests.scenarios.steps import cap, codes, funds, rate_limit

OUTPUT = 10
"""Micros for an output token of gpt-4o."""


class TestS9AStreamThatGrows:
    @pytest.mark.parametrize("used", [0, 26, 1000, 3000, 4000])
    async def test_extends_go_up_to_the_cap_and_what_was_used_is_charged(
        self, caller: Caller, books: Books, org: str, used: int
    ) -> None:
        await caller.org(org, 1_000_000)
        await cap(caller, org, 3000 * OUTPUT)

        def tokens(n: int) -> dict[str, Any]:
            return {"quantity": {"output_tokens": n}}

        hold = (await caller.authorize(org, "gpt-4o", **tokens(1000)))["hold"]
        streamed, path = 1000, f"/v1/holds/{hold['id']}/extend"
        while True:
            answer = await caller.ok("POST", path, tokens(900))
            if answer["decision"] == "deny":
                break
            streamed += 900
            assert answer["hold"]["id"] == hold["id"]
            assert answer["hold"]["amount_micros"] == streamed * OUTPUT
            assert answer["hold"]["expires_at"] == hold["expires_at"]
        assert (streamed, codes(answer)) == (2800, ["cap_exceeded"])
        assert answer["max_affordable_micros"] == 200 * OUTPUT
        assert await funds(caller, org) == (1_000_000 - 28_000, 28_000, 0), "it stays as it was"
        last = await caller.ok("POST", path, tokens(200))
        assert last["hold"]["amount_micros"] == 3000 * OUTPUT
        assert codes(await caller.ok("POST", path, tokens(1))) == ["cap_exceeded"]

        done = await caller.capture(hold["id"], **tokens(used))
        cost = used * OUTPUT
        assert (done["captured_micros"], done["shortfall_micros"]) == (cost, 0)
        assert done["released_micros"] == max(0, 30_000 - cost)
        assert await funds(caller, org) == (1_000_000 - cost, 0, 0)
        (state,) = (await caller.balance(org))["caps"]
        assert (state["used_micros"], state["held_micros"]) == (cost, 0)
        await books.agree(caller, org)
        assert books.charges(org) == (1, cost, 0)
        assert max(s.held for s in books.prefixes(org)) == 30_000

    async def test_a_stream_stops_where_the_money_ends_and_more_use_is_a_debt(
        self, caller: Caller, books: Books, org: str
    ) -> None:
        await caller.org(org, 2500 * OUTPUT)
        asked = {"quantity": {"output_tokens": 1000}}
        hold = (await caller.authorize(org, "gpt-4o", **asked))["hold"]["id"]
        path = f"/v1/holds/{hold}/extend"
        answers = [await caller.ok("POST", path, asked) for _ in range(3)]
        assert [a["decision"] for a in answers] == ["allow", "deny", "deny"]
        assert codes(answers[2]) == ["insufficient_funds"]
        assert answers[2]["max_affordable_micros"] == 500 * OUTPUT
        done = await caller.capture(hold, quantity={"output_tokens": 4000})
        assert (done["captured_micros"], done["shortfall_micros"]) == (25_000, 15_000)
        assert await funds(caller, org) == (0, 0, 15_000)
        await caller.reconciled()
        assert books.charges(org) == (1, 25_000, 15_000)


@dataclass
class Denied:
    """A limit that denies, and the request that it denies."""

    code: str
    asked: dict[str, Any] = field(default_factory=lambda: {"amount_micros": 10})
    limits: tuple[tuple[str, int], ...] = ()
    cap: int = 0
    before: str = ""


DENIALS = {
    "funds": Denied("insufficient_funds", {"amount_micros": 1_000_001}),
    "cap": Denied("cap_exceeded", {"amount_micros": 501}, cap=500),
    "requests": Denied("rate_limited", limits=(("requests", 1),), before="capture"),
    "tokens": Denied(
        "rate_limited",
        {"product": "gpt-4o", "quantity": {"input_tokens": 100, "output_tokens": 1}},
        limits=(("tokens", 100),),
    ),
    "concurrent": Denied("concurrency_limited", limits=(("concurrent", 1),), before="hold"),
    "price": Denied("product_unpriced", {"product": "gpt-9", "quantity": {"input_tokens": 1}}),
    "user": Denied("user_suspended", {"user": "mallory", "amount_micros": 10}),
    "key": Denied("key_unknown", {"key": "lost", "amount_micros": 10}),
}


class TestS10ADeniedRequestUsesUpNothing:
    async def test_a_runs_b_is_denied_by_concurrency_a_ends_c_passes(
        self, caller: Caller, books: Books, org: str
    ) -> None:
        await caller.org(org, 1000)
        await rate_limit(caller, org, "requests", 2, window_s=60)
        await rate_limit(caller, org, "concurrent", 1)
        a = await caller.authorize(org, amount_micros=10)
        b = [await caller.authorize(org, amount_micros=10) for _ in range(5)]
        assert [codes(one) for one in b] == [["concurrency_limited"]] * 5
        assert all(one["status_hint"] == 429 and one["retry_after_s"] >= 1 for one in b)
        await caller.release(a["hold"]["id"])
        c = await caller.authorize(org, amount_micros=10)
        assert codes(c) == []
        await caller.release(c["hold"]["id"])
        d = await caller.authorize(org, amount_micros=10)
        assert codes(d) == ["rate_limited"]
        assert 1 <= d["retry_after_s"] <= 120
        assert await funds(caller, org) == (1000, 0, 0)
        await caller.reconciled()
        assert [s.held for s in books.prefixes(org)] == [0, 10, *[10] * 5, 0, 10, 0, 0]

    @pytest.mark.parametrize("name", DENIALS)
    async def test_whatever_denies_all_the_others_stay_as_they_were(
        self, caller: Caller, books: Books, org: str, name: str
    ) -> None:
        case = DENIALS[name]
        await caller.org(org, 1_000_000)
        await caller.ok("PUT", f"/v1/orgs/{org}/users/mallory", {"status": "suspended"})
        if name == "key":
            await caller.ok("PUT", f"/v1/orgs/{org}/keys/known", {})
        await cap(caller, org, 2_000_000, "witness")
        for unit, limit in (("requests", 50), ("tokens", 5000), ("concurrent", 50)):
            await rate_limit(caller, org, unit, limit, name="witness")
        if case.cap:
            await cap(caller, org, case.cap, "tight")
        for unit, limit in case.limits:
            await rate_limit(caller, org, unit, limit, name="tight")
        if case.before:
            await caller.authorize(org, amount_micros=10, capture=case.before == "capture")

        before = await caller.balance(org)
        answers = [await caller.authorize(org, **{**case.asked, **mode})
                   for mode in ({}, {"capture": True}, {"dry_run": True}, {}, {})
                   if not (name == "concurrent" and mode)]  # fmt: skip
        assert [codes(a) for a in answers] == [[case.code]] * len(answers)
        assert all(a["hold"] is None and a["draws"] == [] for a in answers)

        def room(answer: Any) -> dict[str, int]:
            return {limit["id"]: limit["remaining"] for limit in answer["limits"]}

        assert [room(a) for a in answers] == [room(answers[0])] * len(answers)
        assert await caller.balance(org) == before
        await books.agree(caller, org)
        denied = [s for s in books.prefixes(org) if s.kind == "authorize" and not s.out.allowed]
        dry = 0 if name == "concurrent" else 1
        assert len(denied) == len(answers) - dry, "each left its own record, and only that"
        assert all(s.out.draws == [] for s in denied)


NO_PRICE = {"product": "gpt-9", "quantity": {"input_tokens": 1}}


class TestS11NoPriceIsNotFree:
    @pytest.mark.parametrize(
        "asked",
        [
            NO_PRICE,
            {**NO_PRICE, "capture": True},
            {**NO_PRICE, "dry_run": True},
            {**NO_PRICE, "quantity": {"input_tokens": 0}},
            {**NO_PRICE, "quantity": {}},
            {**NO_PRICE, "partial": {"unit": "input_tokens", "at_least": 0}},
        ],
    )
    async def test_an_unpriced_product_is_denied_never_zero(
        self, caller: Caller, books: Books, org: str, asked: dict[str, Any]
    ) -> None:
        await caller.org(org, 1000)
        await cap(caller, org, 500)
        answer = await caller.authorize(org, **asked)
        assert (answer["decision"], answer["status_hint"]) == ("deny", 403)
        assert codes(answer) == ["product_unpriced"]
        assert (answer["hold"], answer["draws"]) == (None, [])
        free_user = await caller.authorize(f"{org}-free", **asked)
        assert codes(free_user) == ["product_unpriced"]
        balance = await caller.balance(org)
        assert (balance["available_micros"], balance["caps"][0]["remaining_micros"]) == (1000, 500)
        await books.agree(caller, org)
        assert books.charges(org) == (0, 0, 0)

    async def test_with_an_amount_it_needs_no_price_and_the_cap_counts_it(
        self, caller: Caller, org: str
    ) -> None:
        await caller.org(org, 1000)
        await cap(caller, org, 500)
        assert codes(await caller.authorize(org, "gpt-9", amount_micros=501)) == ["cap_exceeded"]
        assert codes(await caller.authorize(org, "gpt-9", amount_micros=500)) == []

    async def test_a_price_of_zero_is_a_price(self, caller: Caller, org: str) -> None:
        card = {
            "effective_at": "2020-01-01T00:00:00Z",
            "currency": "USD",
            "products": {"gift": {"units": 0}},
        }
        await caller.ok("PUT", f"/v1/rate_cards/{org}/versions/v1", card)
        await caller.ok("PUT", f"/v1/plans/{org}", {"rate_card": org})
        await caller.org(org, plan=org)
        answer = await caller.authorize(org, "gift")
        assert (answer["decision"], answer["hold"]["amount_micros"]) == ("allow", 0)

    @pytest.mark.parametrize("level", ["org", "project", "user", "key", "run"])
    async def test_a_cap_of_zero_refuses_all(
        self, caller: Caller, books: Books, org: str, level: str
    ) -> None:
        windows = ("minute", "hour", "day", "week", "month", "lifetime")
        lineage = {"project": "p", "user": "u", "key": "k", "run": "r"}
        for window in windows:
            one = await caller.org(f"{org}-{window}", 1000)
            await cap(caller, one, 0, "nothing", level=level, window=window)
            for asked in (
                {"amount_micros": 0},
                {"amount_micros": 1},
                {"amount_micros": 1, "capture": True},
                {"amount_micros": 0, "dry_run": True},
                {"quantity": {"units": 0}},
                {"quantity": {"units": 3}, "partial": {"unit": "units", "at_least": 0}},
            ):
                answer = await caller.authorize(one, **lineage, **asked)
                assert answer["decision"] == "deny"
                assert "cap_exceeded" in codes(answer)
                assert answer["max_affordable_micros"] == 0
            if level != "org":
                # It says nothing of requests that are not of this level.
                assert codes(await caller.authorize(one, amount_micros=1, capture=True)) == []
        await books.agree(caller, *(f"{org}-{window}" for window in windows))
        for window in windows:
            assert books.prefixes(f"{org}-{window}")[-1].captured == (level != "org")

    @pytest.mark.parametrize("mode", ["soft", "shadow"])
    async def test_only_a_hard_one_refuses(self, caller: Caller, org: str, mode: str) -> None:
        await caller.org(org, 1000)
        await cap(caller, org, 0, "nothing", mode=mode)
        answer = await caller.authorize(org, amount_micros=10)
        assert codes(answer) == []
        assert [limit["mode"] for limit in answer["limits"]] == [mode] * (mode == "soft")


async def test_after_all_this_the_whole_ledger_reconciles(caller: Caller) -> None:
    await caller.reconciled()
