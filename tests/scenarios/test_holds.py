"""S4, S5: a hold ends exactly once, whoever ends it, or by itself."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Any

import pytest

from gateway.core.commands import Ended
from gateway.core.holds import HoldStatus
from tests.gateways import Caller
from tests.scenarios.books import Books
from tests.scenarios.steps import at, cap, codes, funds, rate_limit, until_nothing_is_held


class TestS4CallersThatVanish:
    """10,000 callers, each with its own patience; many never come back to capture."""

    CALLERS = 10_000
    COME_WITHIN_S = 8
    AT_ONCE = 500
    """Callers that are being answered; a slow machine answers as many, in more time."""
    SLOTS = 300
    HELD = 100
    USED = 60

    async def test_after_expiry_nothing_is_held_and_no_phantom_denies(
        self, caller: Caller, books: Books, org: str
    ) -> None:
        given = self.CALLERS * self.HELD
        await caller.org(org, given)
        await cap(caller, org, given)
        await rate_limit(caller, org, "concurrent", self.SLOTS)
        fates: Counter[str] = Counter()
        doors = asyncio.Semaphore(self.AT_ONCE)
        callers = (self.one(caller, org, n, fates, doors) for n in range(self.CALLERS))
        await asyncio.gather(*callers)
        for fate in ("cut while asking", "cut while holding", "left", "captured", "denied"):
            assert fates[fate] > 0, fates
        await until_nothing_is_held(caller, org, within_s=5)
        await caller.reconciled()
        standings = books.prefixes(org)
        assert min(s.available for s in standings) >= 0
        assert max(s.held for s in standings) <= self.SLOTS * self.HELD
        assert standings[-1].held == 0
        ends: dict[str, list[HoldStatus]] = {}
        for out in (s.out for s in standings if isinstance(s.out, Ended)):
            ends.setdefault(out.hold_id, []).append(HoldStatus(out.status))
        granted = sum(s.kind == "authorize" and s.out.allowed for s in standings)
        assert len(ends) == granted, "each hold ended"
        # Once; only one that ended by itself may be captured behind it, late.
        captured, expired = HoldStatus.captured, HoldStatus.expired
        once = ([captured], [expired], [expired, captured])
        assert [ways for ways in ends.values() if ways not in once] == []
        captures, captured, shortfall = books.charges(org)
        assert captured == captures * self.USED >= fates["captured"] * self.USED
        assert await funds(caller, org) == (given - captured, 0, shortfall)

        # Nobody is denied by a phantom: all slots are free, all money and all of the cap.
        answers = await asyncio.gather(
            *(caller.authorize(org, amount_micros=1, hold_ttl_s=60) for _ in range(self.SLOTS))
        )
        assert [codes(a) for a in answers] == [[]] * self.SLOTS
        assert codes(await caller.authorize(org, amount_micros=1)) == ["concurrency_limited"]
        await asyncio.gather(*(caller.release(a["hold"]["id"]) for a in answers))
        everything = await caller.authorize(org, amount_micros=given - captured)
        assert codes(everything) == []
        await caller.release(everything["hold"]["id"])

    async def one(
        self, caller: Caller, org: str, n: int, fates: Counter[str], doors: asyncio.Semaphore
    ) -> None:
        chance = random.Random(n)
        await asyncio.sleep(chance.uniform(0, self.COME_WITHIN_S))
        async with doors:
            await self.let_in(caller, org, n, fates, chance)

    async def let_in(
        self, caller: Caller, org: str, n: int, fates: Counter[str], chance: random.Random
    ) -> None:
        stage, patience = "cut while asking", 60.0
        if n % 6 == 0:
            patience = chance.choice((0.002, 0.01, 0.05, 0.2)) * chance.random()
        try:
            async with asyncio.timeout(patience) as cut:
                answer = await caller.authorize(org, amount_micros=self.HELD, hold_ttl_s=1)
                if answer["decision"] == "deny":
                    assert codes(answer) == ["concurrency_limited"]
                    stage = "denied"
                    return
                stage = "cut while holding" if n % 3 == 0 else "left"
                if n % 3 == 0:
                    # As of the answer: a slow machine has such callers, too.
                    cut.reschedule(asyncio.get_running_loop().time() + chance.uniform(0, 0.1))
                await asyncio.sleep(chance.uniform(0, 0.2))
                if n % 3 == 1:
                    return
                hold = answer["hold"]["id"]
                await caller.capture(hold, amount_micros=self.USED)
                stage = "captured"
        except TimeoutError:
            pass
        finally:
            fates[stage] += 1


ENDS: dict[str, tuple[str, Any]] = {
    "capture": ("capture", {"amount_micros": 60}),
    "capture all": ("capture", {"amount_micros": 100}),
    "capture none": ("capture", {"amount_micros": 0}),
    "capture more": ("capture", {"amount_micros": 130}),
    "release": ("release", {}),
    "extend": ("extend", {"amount_micros": 10}),
}
COSTS = {"capture": 60, "capture all": 100, "capture none": 0, "capture more": 130, "release": 0}


async def end(caller: Caller, hold: str, step: str, key: str | None = None) -> tuple[int, Any]:
    path, body = ENDS[step]
    status, answer, _ = await caller.send("POST", f"/v1/holds/{hold}/{path}", body, key)
    return status, answer


class TestS5AHoldEndsOnce:
    @pytest.mark.parametrize("first", COSTS)
    async def test_every_second_end_is_409_naming_the_first_and_moves_nothing(
        self, caller: Caller, books: Books, org: str, first: str
    ) -> None:
        await caller.org(org, 1000)
        hold = (await caller.authorize(org, amount_micros=100))["hold"]["id"]
        status, _ = await end(caller, hold, first, "the-first")
        after = await funds(caller, org)
        assert (status, after) == (200, (1000 - COSTS[first], 0, 0))
        for second in ENDS:
            for key in (None, "another"):
                status, problem = await end(caller, hold, second, key)
                assert (status, problem["type"].rpartition(":")[2]) == (409, "hold_already_ended")
                assert ("released" if first == "release" else "captured") in problem["detail"]
                assert await funds(caller, org) == after
        status, _ = await end(caller, hold, first, "the-first")
        assert (status, await funds(caller, org)) == (200, after)
        await books.agree(caller, org)
        assert books.prefixes(org)[-1].captured == COSTS[first]
        assert sum(s.kind == "finish" for s in books.prefixes(org)) == 1

    async def test_of_ends_that_race_one_wins(self, caller: Caller, books: Books, org: str) -> None:
        await caller.org(org, 10_000)
        cost = 0
        for n in range(30):
            hold = (await caller.authorize(org, amount_micros=100))["hold"]["id"]
            steps = [*COSTS, *COSTS]
            random.Random(n).shuffle(steps)
            answers = await asyncio.gather(*(end(caller, hold, step) for step in steps))
            assert sorted(status for status, _ in answers) == [200] + [409] * (len(steps) - 1)
            cost += next(COSTS[s] for s, a in zip(steps, answers, strict=True) if a[0] == 200)
            assert await funds(caller, org) == (10_000 - cost, 0, 0)
        await caller.reconciled()
        assert books.prefixes(org)[-1].captured == cost
        assert sum(s.kind == "finish" for s in books.prefixes(org)) == 30

    async def test_expiry_gives_back_within_about_a_second_and_never_before(
        self, caller: Caller, org: str
    ) -> None:
        await caller.org(org, 1000)
        hold = (await caller.authorize(org, amount_micros=100, hold_ttl_s=1))["hold"]
        expires = at(hold["expires_at"])
        while True:
            asked = time.time()
            available, held, _ = await funds(caller, org)
            if not held:
                break
            assert asked < expires + 3, "it should be given back within 1 s"
            assert available == 900
            await asyncio.sleep(0.05)
        assert time.time() >= expires
        assert available == 1000

    async def test_an_expired_hold_is_captured_late_once(
        self, caller: Caller, books: Books, org: str
    ) -> None:
        """What funds still allow is captured, the rest is a shortfall; nothing is lost."""
        rows = {
            # elsewhere spent meanwhile: captured, shortfall of a late capture of 60
            f"{org}-rich": (0, 60, 0),
            f"{org}-poor": (960, 40, 20),
            f"{org}-out": (1000, 0, 60),
        }
        holds = {}
        for one in rows:
            await caller.org(one, 1000)
            asked = await caller.authorize(one, amount_micros=100, hold_ttl_s=1)
            holds[one] = asked["hold"]["id"]
        for one, hold in holds.items():
            await until_nothing_is_held(caller, one)
            for step in ("release", "extend"):
                status, problem = await end(caller, hold, step)
                assert status == 409 and "expired" in problem["detail"]
            spent, captured, shortfall = rows[one]
            await caller.authorize(one, amount_micros=spent, capture=True)
            late = await caller.capture(hold, "late-key", amount_micros=60)
            assert late["late"] is True
            assert (late["captured_micros"], late["shortfall_micros"]) == (captured, shortfall)
            for step in ENDS:
                assert (await end(caller, hold, step))[0] == 409
            assert (await caller.capture(hold, "late-key", amount_micros=60)) == late
            seen = await caller.ok("GET", f"/v1/holds/{hold}")
            assert (seen["status"], seen["late"]) == ("captured", True)
            assert await funds(caller, one) == (1000 - spent - captured, 0, shortfall)
        # A paid grant first settles the debt.
        await caller.ok("POST", f"/v1/orgs/{org}-out/grants", {"amount_micros": 70, "kind": "paid"})
        assert await funds(caller, f"{org}-out") == (10, 0, 0)
        await caller.reconciled()
        for one, (spent, captured, shortfall) in rows.items():
            assert books.charges(one) == (2, spent + captured, shortfall)


async def test_after_all_this_the_whole_ledger_reconciles(caller: Caller) -> None:
    await caller.reconciled()
