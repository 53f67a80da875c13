"""R9: a model is swapped under load. R10: without a scorer caps hold, and the policy decides."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest

from models.trees import probability
from tests.gateways import Caller, Gateway, running
from tests.scenarios.models.making import BY_AMOUNT, in_force, model, stump, submit
from tests.scenarios.rules.rulebook import CARD, CENT, USD, cents, metrics

SWAPS, CALLERS = 8, 12
OTHER = model(stump("amount", 2.0 * USD, -3.0, 2.5, missing_left=True))


async def test_r9_a_model_is_swapped_under_load(caller: Caller, org: str) -> None:
    """Every request is scored by exactly one of the two, with that one's score; none fails."""
    raws = {await in_force(caller, BY_AMOUNT): -4.0, await submit(caller, OTHER): -3.0}
    broken = OTHER.replace("-3.0", "-3.5", 1)
    is_over, seen = asyncio.Event(), []

    async def call() -> None:
        while not is_over.is_set():
            seen.append(await caller.authorize(org, capture=True, **cents(10)))

    async def swap() -> None:
        for n in range(SWAPS):
            name = list(raws)[(n + 1) % 2]
            await caller.ok(
                "POST",
                f"/v1/models/{name}/activate",
                {"mode": "active", "force": True, "note": "swap"},
            )
            status, problem, _ = await caller.send("POST", "/v1/models", {"text": broken})
            assert (status, problem["title"]) == (422, "the model cannot be used")
            await asyncio.sleep(0.3)
        is_over.set()

    await asyncio.gather(swap(), *(call() for _ in range(CALLERS)))
    told = {(a["risk"]["model"], a["risk"]["score"]) for a in seen}
    assert told == {(name, probability(raw)) for name, raw in raws.items()}
    assert not any(a["degraded"] for a in seen) and len(seen) > 100


POLICIES = ("allow", "block", "challenge")


async def set_up(gateway: Gateway) -> None:
    """An org for each policy, and a model that scores them."""
    async with Caller(gateway.address) as caller:
        await caller.ok("PUT", "/v1/rate_cards/default/versions/v1", CARD)
        cap = {"level": "org", "window": "day", "limit_micros": 50 * CENT, "mode": "hard"}
        for policy in POLICIES:
            org = await caller.org(f"org-{policy}", 100 * USD)
            await caller.ok("PUT", f"/v1/orgs/{org}/caps/daily", cap)
        await in_force(caller, BY_AMOUNT)
        for policy in POLICIES:
            answer = await caller.authorize(f"org-{policy}", **cents(1))
            assert answer["risk"]["score"] is not None


@pytest.fixture(scope="module")
def unreadable(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    """A stopped gateway whose model can be read no more."""
    with running(tmp_path_factory.mktemp("unreadable")) as gateway:
        asyncio.run(set_up(gateway))
    # What another version wrote, say, whose features nobody counts any more.
    with sqlite3.connect(gateway.directory / "catalog.db") as catalog:
        catalog.execute("UPDATE models SET text = replace(text, 'tokens', 'shoe_size')")
    return gateway


@pytest.mark.parametrize(
    ("policy", "decision", "code"),
    [("allow", "allow", None), ("block", "deny", "risk_too_high"),
     ("challenge", "challenge", "challenge_required")],
)  # fmt: skip
async def test_r10_without_a_scorer_caps_hold_the_policy_decides_and_the_decision_says_so(
    unreadable: Gateway, policy: str, decision: str, code: str | None
) -> None:
    org = f"org-{policy}"
    with running(unreadable.directory, unscored=policy) as gateway:
        async with Caller(gateway.address) as caller:
            answers: list[Any] = [await caller.authorize(org, **cents(20)) for _ in range(4)]
            first = answers[0]
            assert (first["decision"], first["degraded"]) == (decision, True)
            assert (first["risk"]["score"], first["risk"]["model"]) == (None, None)
            assert [r["code"] for r in first["reasons"]] == ([code] if code else [])
            if policy == "allow":
                assert [a["decision"] for a in answers] == ["allow", "allow", "deny", "deny"]
            over = await caller.authorize(org, **cents(60))
            assert [r["code"] for r in over["reasons"]] == ["cap_exceeded"]
            balance = await caller.ok("GET", f"/v1/orgs/{org}/balance")
            held = 41 if policy == "allow" else 1
            assert balance["held_micros"] == held * CENT
            replayed = await caller.ok("POST", f"/v1/decisions/{first['id']}/replay", {})
            assert replayed["same"] and replayed["answer"]["degraded"]
            await gateway.counted()
            assert (await metrics(caller))["spendgate_unscored_total"] >= 1, "it was not counted"
        assert any("does not score" in line and "shoe_size" in line for line in gateway.errors)
