"""R1: a key that leaked, after days of its ordinary use, by the pack that ships."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.store.pipeline import parse_url
from tests.gateways import Caller, Gateway
from tests.house.source import ROOT
from tests.scenarios.clocks import Clock
from tests.scenarios.rules import alone
from tests.scenarios.rules.rulebook import USD, cents, gathered, in_force, rule, rules

gateway = alone.gateway
PACK = (ROOT / "rules/packs/leaked-key/rules.yaml").read_text("utf-8")
DAYS, AN_HOUR, SMALL = 3, 40, 2
BURST, DEAR, PLACES = 267, 350, 12
COUNTING = rules(
    # Forty an hour are usual: a limit on requests lies well above them, or stops everybody.
    rule("usual", "block", 'velocity.count("key", 1h) > 400'),
    rule("any", "block", 'velocity.count("key", 1h) > 30'),
)


async def ask(caller: Caller, org: str, ip: str, price: int) -> dict[str, Any]:
    asked = cents(price, context={"ip": ip}, capture=True)
    answer: dict[str, Any] = await caller.authorize(org, key="k_1", **asked)
    return answer


async def test_r1_a_leaked_key_is_stopped_early_and_a_count_of_requests_misses_it(
    caller: Caller, org: str, gateway: Gateway
) -> None:
    counting = await in_force(caller, COUNTING, "shadow")
    pack = await in_force(caller, PACK)
    clock, began, chance = (
        Clock(parse_url(gateway.store_url).path),
        datetime.now(UTC),
        random.Random(1),
    )
    for hour in range(24 * DAYS):
        await clock.runs_from(began + timedelta(hours=hour))
        usual = (ask(caller, org, "203.0.113.5", SMALL) for _ in range(AN_HOUR))
        answers = await asyncio.gather(*usual)
        assert {answer["decision"] for answer in answers} == {"allow"}, hour

    # From a datacentre's networks, ten minutes long.
    leaked, first = began + timedelta(days=DAYS), BURST
    lost, stopped = 0, 0
    for n in range(BURST):
        if n % 27 == 0:
            await clock.runs_from(leaked + timedelta(minutes=n // 27))
        answer = await ask(caller, org, f"198.51.{chance.randrange(PLACES)}.9", DEAR)
        if answer["decision"] == "allow":
            lost += answer["quote"]["amount_micros"]
        elif not stopped:
            stopped, first = 1, n
    whole = BURST * DEAR * USD // 100
    print(
        f"lost {lost / USD:.2f} USD of {whole / USD:.2f}, {first} requests before the first block"
    )
    assert first <= 20 and lost <= 0.1 * whole

    span = f"from={began:%Y-%m-%d}&to=2040-01-01"
    told = await gathered(caller, counting, span)
    seen = {one["rule"]: one["requests"] for one in told["rules"]}
    # At the least, where an hour of use falls into an hour of the clock, its last nine.
    assert seen.get("usual", 0) == 0 and seen["any"] >= 9 * 24 * DAYS, "it tells nobody, or all"
    told = await gathered(caller, pack, span)
    assert {one["rule"] for one in told["rules"]} >= {"key-elsewhere"}
