"""Ids as identity providers and price lists have them, through everything a gateway does."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.gateways import Caller, Gateway, running

ORGS = ["acme/eu", "張三 GmbH", "~free", "{s1}", "50%", "x" * 255]
USERS = ["auth0|64f0c1", "jane.doe@example.com", "張三", "a/b", "%2F"]
PRODUCT = "openai/gpt-4o"
PRICES = {
    name: {"input_tokens": 2_500_000}
    for name in (
        PRODUCT,
        "bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0",
        "gpt-4o@2024-08-06",
    )
}
USD = 1_000_000


def path(*parts: str) -> str:
    """A path of these parts, each percent-encoded."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose prices have the names of a real list."""
    with running(tmp_path_factory.mktemp("strange"), workers=2) as found:

        async def price() -> None:
            async with Caller(found.address) as caller:
                card = {"effective_at": "2020-01-01T00:00:00Z", "currency": "USD"}
                card |= {"products": PRICES}
                await caller.ok("PUT", "/v1/rate_cards/default/versions/v1", card)

        asyncio.run(price())
        yield found


def asks(org: str, user: str, tokens: int = 1_000_000, **more: Any) -> dict[str, Any]:
    subject = {"org": org, "user": user, "project": f"p/{user}"[:200], "key": f"k|{user}"[:200]}
    quantity = {"input_tokens": tokens}
    return {"subject": subject, "product": PRODUCT, "quantity": quantity, **more}


@pytest.mark.parametrize("org", ORGS)
async def test_an_org_lives_under_its_own_name(strange: Gateway, org: str) -> None:
    async with Caller(strange.address) as caller:
        assert (await caller.ok("PUT", path("orgs", org), {"name": org[:200]}))["id"] == org
        grant = {"amount_micros": 20 * USD, "kind": "paid", "products": [PRODUCT]}
        await caller.ok("POST", path("orgs", org, "grants"), grant)
        cap = {"level": "user", "window": "day", "limit_micros": 5 * USD, "products": [PRODUCT]}
        await caller.ok("PUT", path("orgs", org, "caps", "each"), cap)
        own = cap | {"target": USERS[3], "limit_micros": USD}
        await caller.ok("PUT", path("orgs", org, "caps", "narrow"), own)
        limit = {"level": "user", "unit": "requests", "limit": 2, "window_s": 3600}
        await caller.ok("PUT", path("orgs", org, "rate_limits", "twice"), limit)
        for user in USERS:
            first = await caller.ok("POST", "/v1/authorize", asks(org, user, 400_000))
            assert first["decision"] == "allow", first
            end = await caller.capture(first["hold"]["id"], quantity={"input_tokens": 400_000})
            assert end["captured_micros"] == USD
            second = await caller.ok("POST", "/v1/authorize", asks(org, user))
            narrow = user == USERS[3]
            assert second["decision"] == ("deny" if narrow else "allow"), second
            hold = await caller.ok("GET", f"/v1/holds/{first['hold']['id']}")
            assert (hold["subject"]["org"], hold["subject"]["user"]) == (org, user)
        assert (await caller.ok("POST", "/v1/authorize", asks(org, USERS[0])))["reasons"][0][
            "code"
        ] == "rate_limited"
        balance = await caller.ok("GET", path("orgs", org, "balance"))
        counted = {c["target"]: c["used_micros"] for c in balance["caps"] if c["id"] == "each"}
        assert counted == dict.fromkeys(USERS, USD)
        await usage_is(caller, org, {PRODUCT: len(USERS) * USD})
        listed = await caller.ok("GET", f"/v1/decisions?org={quote(org, safe='')}&limit=100")
        assert {d["subject"]["user"] for d in listed["decisions"]} == set(USERS)


async def usage_is(caller: Caller, org: str, expected: dict[str, int]) -> None:
    """Wait until the ledger has it."""
    for _ in range(200):
        rows = (await caller.ok("GET", path("orgs", org, "usage") + "?group_by=product"))["rows"]
        if {row["product"]: row["captured_micros"] for row in rows} == expected:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(rows)


async def test_no_org_is_taken_for_the_account_of_free_users(strange: Gateway) -> None:
    async with Caller(strange.address) as caller:
        await caller.ok("POST", "/v1/authorize", asks("nobody/at all", "u", 1000, capture=True))
        await usage_is(caller, "~free", {PRODUCT: len(USERS) * USD})
        await caller.reconciled()


async def test_items_of_lists_are_ids_as_requests_name_them(strange: Gateway) -> None:
    async with Caller(strange.address) as caller:
        await caller.org("listed/org", 10 * USD)
        item = quote("user:listed%2Forg/auth0|64f0c1", safe="")
        await caller.ok("PUT", f"/v1/lists/block/items/{item}", {})
        blocked = await caller.ok("POST", "/v1/authorize", asks("listed/org", "auth0|64f0c1", 1))
        other = await caller.ok("POST", "/v1/authorize", asks("listed/org", "auth0|64f0c2", 1))
        assert (blocked["reasons"][0]["code"], other["decision"]) == ("list_blocked", "allow")
        status, problem, _ = await caller.send("PUT", "/v1/lists/block/items/user:a%2Fb%2Fc", {})
        assert status == 422
        assert "%2F" in problem["detail"]


async def test_rules_read_them(strange: Gateway) -> None:
    text = (
        "rules:\n  - id: one\n    when: user.id == \"張三\" && product == 'openai/gpt-4o'\n"
        "    action: block\n    reason: not him\n    examples:\n"
        "      - facts: {user.id: 張三, product: openai/gpt-4o}\n        expect: match\n"
    )
    async with Caller(strange.address) as caller:
        status, made, _ = await caller.send("POST", "/v1/rulesets", {"text": text})
        assert status == 200, made
        await caller.ok(
            "POST",
            f"/v1/rulesets/{made['id']}/activate",
            {"mode": "active", "force": True, "note": "t"},
        )
        await caller.org("ruled/org", 10 * USD)
        for _ in range(100):
            hit = await caller.ok("POST", "/v1/authorize", asks("ruled/org", "張三", 1))
            if hit["decision"] == "deny":
                break
            await asyncio.sleep(0.05)
        assert hit["reasons"][0]["code"] == "rule_blocked"
        miss = await caller.ok("POST", "/v1/authorize", asks("ruled/org", "李四", 1))
        assert miss["decision"] == "allow"
        await caller.ok("POST", f"/v1/rulesets/{made['id']}/activate", {"mode": "retired"})


async def test_a_price_list_of_3000_models_is_one_version(strange: Gateway) -> None:
    models = {f"vendor-{n % 40}/model {n} ü@2026": {"input_tokens": n} for n in range(3000)}
    body = {"effective_at": "2026-01-01T00:00:00Z", "currency": "USD", "products": models}
    async with Caller(strange.address) as caller:
        answer = await caller.ok("PUT", "/v1/rate_cards/big/versions/2026", body)
        assert answer["products"] == models
        await caller.ok("PUT", "/v1/plans/big", {"rate_card": "big"})
        await caller.org("big", USD, plan="big")
        product = "vendor-39/model 2999 ü@2026"
        ask = {"subject": {"org": "big"}, "product": product, "quantity": {"input_tokens": 10**6}}
        assert (await caller.ok("POST", "/v1/authorize", ask))["quote"]["amount_micros"] == 2999


async def test_a_hold_may_last_for_a_batch_job(strange: Gateway) -> None:
    async with Caller(strange.address) as caller:
        await caller.org("patient", USD)
        days = asks("patient", "u", 1, hold_ttl_s=30 * 86_400)
        assert (await caller.ok("POST", "/v1/authorize", days))["decision"] == "allow"
        status, problem, _ = await caller.send(
            "POST", "/v1/authorize", asks("patient", "u", 1, hold_ttl_s=30 * 86_400 + 1)
        )
        assert (status, problem["errors"][0]["pointer"]) == (422, "/hold_ttl_s")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"subject": {"org": "a\u0000"}, "product": "p", "amount_micros": 1}, "/subject/org"),
        (
            {"subject": {"org": "a", "user": " u"}, "product": "p", "amount_micros": 1},
            "/subject/user",
        ),
        ({"subject": {"org": "a"}, "product": "..", "amount_micros": 1}, "/product"),
        ({"subject": {"org": "a"}, "product": "p", "run": "r\u202e", "amount_micros": 1}, "/run"),
    ],
)
async def test_a_bad_id_is_named(strange: Gateway, body: Any, pointer: str) -> None:
    async with Caller(strange.address) as caller:
        status, problem, _ = await caller.send("POST", "/v1/authorize", body)
        assert (status, problem["errors"][0]["pointer"]) == (422, pointer)


async def test_they_survive_a_backup_a_restore_and_a_rebuild(tmp_path: Path) -> None:
    org, user = "acme/eu|張三", "auth0|64f0c1/%2F"
    old, new, saved = (str(tmp_path / name) for name in ("old", "new", "saved"))

    def spendgate(*arguments: str) -> None:
        command = [sys.executable, "-m", "gateway.cli", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr

    with running(tmp_path / "old") as gateway:
        async with Caller(gateway.address) as caller:
            card = {"effective_at": "2020-01-01T00:00:00Z", "currency": "USD", "products": PRICES}
            await caller.ok("PUT", "/v1/rate_cards/default/versions/v1", card)
            await caller.ok("PUT", path("orgs", org), {})
            grant = {"amount_micros": 20 * USD, "kind": "paid"}
            grant |= {"expires_at": "2099-01-01T00:00:00Z"}
            await caller.ok("POST", path("orgs", org, "grants"), grant)
            cap = {"level": "user", "window": "month", "limit_micros": 10 * USD}
            await caller.ok("PUT", path("orgs", org, "caps", "each"), cap)
            held = await caller.ok("POST", "/v1/authorize", asks(org, user, hold_ttl_s=3600))
            await caller.ok("POST", "/v1/authorize", asks(org, user, capture=True))
            before = await caller.ok("GET", path("orgs", org, "balance"))
            await caller.reconciled()
    spendgate("backup", saved, "--data-dir", old)
    (tmp_path / "new").mkdir()
    shutil.copy(tmp_path / "old" / "pseudonym.key", tmp_path / "new")
    spendgate("restore", saved, "--data-dir", new)
    for directory in (new, old):
        spendgate("rebuild", "--data-dir", directory)
        with running(Path(directory)) as gateway:
            async with Caller(gateway.address) as caller:
                assert await caller.ok("GET", path("orgs", org, "balance")) == before
                await caller.reconciled()
                if directory == old:
                    await caller.capture(held["hold"]["id"], quantity={"input_tokens": 1_000_000})
                    after = await caller.ok("GET", path("orgs", org, "balance"))
                    assert after["caps"][0]["used_micros"] == 5 * USD
