"""A little world that uses everything the hot state knows, and callers that live in it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.cli.demo.data import list_prices, trace
from gateway.cli.demo.replay import UNDECIDED
from tests.gateways import PRICES, Caller

TRACE = tuple(trace())
MODELS = ("gpt-5", "gpt-5-mini", "gpt-4.1", "gpt-4o", "o3")
ORGS = ("acme", "globex", "initech")
FREE = tuple(f"visitor-{n}" for n in range(5))


RULES = """
rules:
  - {id: spree, action: block, when: 'velocity.cost("key", 1m) > 2 USD', reason: a spree}
  - {id: large, action: block, when: amount > 0.50 USD, reason: large}
  - {id: busy, action: review, when: 'velocity.count("user", 1m) > 20', reason: busy}
"""
"""They stop before and behind the store, and let what is captured at once be held first."""


async def set_up(caller: Caller) -> None:
    """Prices, rules, and three orgs with grants, caps of every level, limits, credit, quota."""
    products = {**list_prices(), **PRICES}
    card = {"effective_at": "2020-01-01T00:00:00Z", "currency": "USD", "products": products}
    await caller.ok("PUT", "/v1/rate_cards/default/versions/v1", card)
    await caller.ok(
        "PUT",
        "/v1/plans/plus",
        {
            "rate_card": "default",
            "included": [{"id": "monthly", "amount_micros": 400_000, "period": "month"}],
            "caps": [{"id": "hour", "level": "org", "window": "hour", "limit_micros": 10**9}],
        },
    )
    for org, plan, line in zip(ORGS, ("payg", "plus", "payg"), (0, 0, 500_000), strict=True):
        await caller.org(org, 3_000_000, plan=plan, credit_line_micros=line)
        grant = {"amount_micros": 700_000, "kind": "promotional", "priority": 5}
        await caller.ok("POST", f"/v1/orgs/{org}/grants", grant, key=f"promo-{org}")
        for level in ("org", "user", "key", "run"):
            cap = {"level": level, "window": "day", "limit_micros": 10**9}
            await caller.ok("PUT", f"/v1/orgs/{org}/caps/{level}", cap)
        lifetime = {"level": "user", "window": "lifetime", "limit_micros": 10**9}
        await caller.ok("PUT", f"/v1/orgs/{org}/caps/life", lifetime)
        limit = {"level": "org", "unit": "concurrent", "limit": 10_000}
        await caller.ok("PUT", f"/v1/orgs/{org}/rate_limits/at-once", limit)
    ruleset = (await caller.ok("POST", "/v1/rulesets", {"text": RULES}))["id"]
    await caller.ok("POST", f"/v1/rulesets/{ruleset}/activate", {"mode": "active"})


def is_undecided(answer: Any) -> bool:
    """Whether an answer decided nothing: no record of it is to be found."""
    return any(reason["code"] in UNDECIDED for reason in answer["reasons"])


@dataclass
class Heard:
    """What callers were told: the acknowledged set, by id, that must never be lost."""

    decisions: dict[str, Any] = field(default_factory=dict)
    ends: dict[str, Any] = field(default_factory=dict)
    times: dict[str, tuple[float, float]] = field(default_factory=dict)
    """When the call that was answered so began and ended."""
    refused: int = 0
    unavailable: int = 0
    broken: int = 0


@asynccontextmanager
async def spending(caller: Caller, heard: Heard, count: int) -> AsyncIterator[None]:
    """So many spenders live on, each as fast as it is answered, until the block ends."""
    is_over = asyncio.Event()

    async def live(seed: int) -> None:
        spender = Spender(caller, seed, heard)
        while not is_over.is_set():
            await spender.step()
            await asyncio.sleep(0)

    lives = [asyncio.create_task(live(seed)) for seed in range(count)]
    try:
        yield
    finally:
        is_over.set()
        await asyncio.gather(*lives)


class Spender:
    """One caller after another of a random life; `heard` keeps what was acknowledged."""

    def __init__(self, caller: Caller, seed: int, heard: Heard, *, keyed: bool = True) -> None:
        self._caller, self._chance, self._heard = caller, random.Random(seed), heard
        self._keyed, self._serial, self._seed = keyed, 0, seed
        self.open: list[str] = []

    async def _post(self, path: str, body: Any) -> Any:
        self._serial += 1
        key = f"{self._seed}-{self._serial}" if self._keyed else None
        began = time.monotonic()
        try:
            status, answer, _ = await self._caller.send("POST", path, body, key)
        except Exception:
            self._heard.broken += 1
            # Whoever cannot connect does not try as fast as it can.
            await asyncio.sleep(0.02)
            return None
        if status == 503:
            self._heard.unavailable += 1
            return None
        if status != 200:
            return None
        self._heard.times[answer["id"]] = (began, time.monotonic())
        return answer

    async def step(self) -> None:
        """One call: mostly a new request, else something with a hold that is open."""
        if self.open and self._chance.random() < 0.5:
            await self._end(self.open.pop(self._chance.randrange(len(self.open))))
        else:
            await self._authorize()

    async def _authorize(self) -> None:
        chance = self._chance
        org = chance.choice(ORGS if chance.random() < 0.85 else FREE)
        subject = {"org": org}
        if chance.random() < 0.7:
            subject |= {"user": f"u{chance.randrange(5)}", "key": f"k{chance.randrange(3)}"}
        body: dict[str, Any] = {"subject": subject, "product": "cent"}
        body["quantity"] = {"units": 1 + chance.randrange(3)}
        if chance.random() < 0.7:
            request = chance.choice(TRACE)
            body["product"] = chance.choice(MODELS)
            tokens = {"input_tokens": request.input_tokens, "output_tokens": request.output_tokens}
            body["quantity"] = tokens
        body["hold_ttl_s"] = chance.choice([1, 60, 600])
        if chance.random() < 0.2:
            body["capture"] = True
        if chance.random() < 0.3:
            body["run"] = f"run-{chance.randrange(4)}"
        answer = await self._post("/v1/authorize", body)
        if answer is None:
            return
        if is_undecided(answer):
            self._heard.unavailable += 1
            return
        self._heard.decisions[answer["id"]] = answer
        self._heard.refused += answer["decision"] != "allow"
        if answer["hold"] is not None:
            self.open.append(answer["hold"]["id"])

    async def _end(self, hold: str) -> None:
        chance = self._chance
        way = chance.choice(["capture", "capture", "release", "extend", "leave"])
        if way == "leave":
            return
        body: dict[str, Any] = {}
        if way != "release":
            body = {"amount_micros": chance.randrange(50_000)}
        answer = await self._post(f"/v1/holds/{hold}/{way}", body)
        if answer is None:
            return
        if way == "extend":
            if not is_undecided(answer):
                self._heard.decisions[answer["id"]] = answer
            self.open.append(hold)
        else:
            self._heard.ends[hold] = answer
