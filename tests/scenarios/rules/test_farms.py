"""R3 and R4: the packs that ship, against those they were made for and many honest ones."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any

from tests.gateways import Caller
from tests.house.source import ROOT
from tests.scenarios.rules import alone
from tests.scenarios.rules.rulebook import CENT, USD, cents, in_force

gateway = alone.gateway
PACKS = ROOT / "rules/packs"
FARM, FARM_ADDRESSES, FARM_DEVICES = 500, 20, 3
GOOD, STUDENTS = 5_000, 300
AT_ONCE = 24
DISPOSABLE = [f"mail{n}.example" for n in range(8)]


def pack(name: str) -> str:
    return (PACKS / name / "rules.yaml").read_text("utf-8")


class Person:
    """Somebody who signs up and asks; whether it is one of the farm."""

    def __init__(self, org: str, context: dict[str, Any], *, is_farmed: bool) -> None:
        self.org, self.context, self.is_farmed = org, context, is_farmed
        self.decision = ""

    async def come(self, caller: Caller) -> None:
        body = {"type": "sign_up", "subject": {"org": self.org}, "context": self.context}
        await caller.ok("POST", "/v1/events", body)
        answer = await caller.authorize(self.org, context=self.context, **cents(1))
        self.decision = answer["decision"]


def farmed(chance: random.Random) -> Iterable[Person]:
    for n in range(FARM):
        context = {
            "ip": f"198.51.100.{chance.randrange(FARM_ADDRESSES)}",
            "device": f"farm-{chance.randrange(FARM_DEVICES)}",
            # Half of their domains stand on no list yet.
            "email_domain": f"mail{chance.randrange(16)}.example",
        }
        yield Person(f"farm-{n}", context, is_farmed=True)


def honest(chance: random.Random) -> Iterable[Person]:
    for n in range(GOOD):
        # A campus behind one address; households of two or three behind all others.
        is_student, home = n < STUDENTS, (n - STUDENTS) // chance.choice([2, 3])
        address = "203.0.113.7" if is_student else f"10.{home // 250 % 250}.{home % 250}.1"
        shares = chance.random() < 0.1
        context = {
            "ip": address,
            "device": f"home-{home}" if shares and not is_student else f"own-{n}",
            "email_domain": chance.choice(DISPOSABLE)
            if chance.random() < 0.002
            else "post.example",
        }
        if chance.random() < 0.002:
            context["email_domain"] = chance.choice(DISPOSABLE)
        yield Person(f"good-{n}", context, is_farmed=False)


async def test_r3_a_farm_is_stopped_and_a_campus_is_not(caller: Caller) -> None:
    chance = random.Random(3)
    items = [{"value": domain} for domain in DISPOSABLE]
    await caller.ok("POST", "/v1/lists/disposable-mail/items", {"items": items})
    await in_force(caller, pack("free-credit-farm"))
    people = [*farmed(chance), *honest(chance)]
    chance.shuffle(people)
    waiting = iter(people)

    async def at_the_door() -> None:
        for person in waiting:
            await person.come(caller)

    await asyncio.gather(*(at_the_door() for _ in range(AT_ONCE)))
    stopped = [person for person in people if person.decision in ("deny", "challenge")]
    caught = sum(person.is_farmed for person in stopped)
    wronged = len(stopped) - caught
    print(f"{caught} of {FARM} of the farm stopped, {wronged} of {GOOD} honest ones")
    assert caught >= 0.95 * FARM
    assert wronged <= 0.01 * GOOD


async def test_r4_tested_cards_are_stopped_by_their_declines_and_raise_no_cap(
    caller: Caller, org: str
) -> None:
    chance, top_up = random.Random(4), 2 * USD
    cap = {"level": "org", "window": "day", "limit_micros": 50 * USD}
    await caller.ok("PUT", f"/v1/orgs/{org}/caps/daily", cap)
    await in_force(caller, pack("card-testing"))
    tries, first, spent = 400, 0, 0
    for n in range(1, tries + 1):
        passes = chance.random() < 0.1
        kind = "payment_succeeded" if passes else "payment_declined"
        body = {"type": kind, "subject": {"org": org}, "amount_micros": top_up}
        await caller.ok("POST", "/v1/events", body)
        if passes:
            given = {"kind": "paid", "amount_micros": top_up}
            await caller.ok("POST", f"/v1/orgs/{org}/grants", given)
        answer = await caller.authorize(org, **cents(100, capture=True))
        spent += 100 * CENT if answer["decision"] == "allow" else 0
        if answer["decision"] == "deny" and not first:
            first = n
            assert [r["id"] for r in answer["reasons"]] == ["card-declines"]
        assert not first or answer["decision"] == "deny"
    print(f"stopped at top-up {first} of {tries}; {spent / USD:.2f} USD were spent")
    assert first <= 10
    (limit,) = (await caller.ok("GET", f"/v1/orgs/{org}/balance"))["caps"]
    assert limit["limit_micros"] == cap["limit_micros"]
    good = f"good-{org}"
    assert (await caller.authorize(good, **cents(1)))["decision"] == "allow"
