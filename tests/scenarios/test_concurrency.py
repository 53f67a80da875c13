"""S1, S2, S3: many callers at once, over two gateways of four workers each on one store."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from gateway.store import keys
from gateway.store.pipeline import Pipeline, parse_url
from tests.gateways import Caller, Gateway, running
from tests.scenarios.books import Books
from tests.scenarios.steps import CENT, until_nothing_is_held

DOLLAR = 1_000_000
HOUR_S = 3600


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Gateway]]:
    """Two gateways of four workers: one store, one catalog, one ledger."""
    home = tmp_path_factory.mktemp("fleet")
    with running(home, workers=4) as first:
        shared = {
            "store_url": first.store_url,
            "catalog_url": f"sqlite:///{home}/catalog.db",
            "ledger_url": f"sqlite:///{home}/ledger.db",
            "pseudonym_key_file": f"{home}/pseudonym.key",
        }
        with running(tmp_path_factory.mktemp("second"), workers=4, **shared) as second:
            yield first, second


@pytest.fixture
def books(fleet: tuple[Gateway, Gateway]) -> Books:
    return Books(fleet[0])


@pytest_asyncio.fixture
async def callers(fleet: tuple[Gateway, Gateway]) -> AsyncIterator[list[Caller]]:
    """A caller of each gateway."""
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(Caller(g.address)) for g in fleet]
        await found[0].prices()
        yield found


def allowed(answers: list[dict]) -> list[dict]:
    return [a for a in answers if a["decision"] == "allow"]


def codes(answers: list[dict]) -> set[str]:
    return {reason["code"] for a in answers for reason in a["reasons"]}


async def budget(caller: Caller, org: str, micros: int, by: str) -> str:
    """An org with so much to spend: bounded by its funds, or by a cap far below them."""
    if by == "funds":
        return await caller.org(org, micros)
    await caller.org(org, 10 * micros)
    cap = {"level": "org", "window": "lifetime", "limit_micros": micros}
    await caller.ok("PUT", f"/v1/orgs/{org}/caps/budget", cap)
    return org


async def test_s1_of_20_parallel_holds_of_75_on_500_six_are_granted(
    callers: list[Caller], books: Books, org: str
) -> None:
    for n in range(5):
        one = await callers[n % 2].org(f"{org}-{n}", 500)
        answers = await asyncio.gather(
            *(callers[i % 2].authorize(one, amount_micros=75) for i in range(20))
        )
        assert len(allowed(answers)) == 6
        denied = [a for a in answers if a["decision"] == "deny"]
        assert codes(denied) == {"insufficient_funds"}
        assert {a["max_affordable_micros"] for a in denied} == {50}
        balance = await callers[0].balance(one)
        assert (balance["available_micros"], balance["held_micros"]) == (50, 450)
    await callers[1].reconciled()
    for n in range(5):
        assert all(s.held <= 500 for s in books.prefixes(f"{org}-{n}"))


async def test_s1_six_of_75_are_never_passed_while_releases_race(
    callers: list[Caller], books: Books, org: str
) -> None:
    await callers[0].org(org, 500)
    held: list[str] = []
    for _ in range(8):
        ending = [callers[i % 2].release(hold) for i, hold in enumerate(held)]
        asking = [callers[i % 2].authorize(org, amount_micros=75) for i in range(20)]
        work = [*ending, *asking]
        random.Random(len(held)).shuffle(work)
        answers = [a for a in await asyncio.gather(*work) if "decision" in a]
        held = [a["hold"]["id"] for a in allowed(answers)]
        assert len(held) <= 6
        assert codes(answers) <= {"insufficient_funds"}
        # What came free in the race can be held again: six in all, not one less.
        while len(held) < 6:
            held.append((await callers[0].authorize(org, amount_micros=75))["hold"]["id"])
        assert (await callers[1].authorize(org, amount_micros=75))["decision"] == "deny"
    assert (await callers[0].balance(org))["held_micros"] == 450
    await callers[0].reconciled()
    standings = books.prefixes(org)
    assert max(s.held for s in standings) == 450
    assert min(s.available for s in standings) == 50


@pytest.mark.parametrize("by", ["funds", "cap"])
async def test_s1_a_budget_of_one_dollar_holds_at_every_prefix_of_seq(
    callers: list[Caller], books: Books, org: str, by: str
) -> None:
    await budget(callers[0], org, DOLLAR, by)
    ends: Counter[str] = Counter()

    async def spend(n: int) -> None:
        chance = random.Random(n)
        for _ in range(8):
            caller = chance.choice(callers)
            amount = chance.randint(1, 9 * CENT)
            answer = await caller.authorize(org, amount_micros=amount)
            if answer["decision"] == "deny":
                ends["denied"] += 1
                continue
            hold, end = answer["hold"]["id"], chance.choice(("less", "more", "release", "extend"))
            if end == "extend":
                more = {"amount_micros": amount // 2}
                await caller.ok("POST", f"/v1/holds/{hold}/extend", more)
                await chance.choice(callers).release(hold)
            elif end == "release":
                await caller.release(hold)
            else:
                # What a cap bounds is what is asked for; only funds also bound what was used.
                top = 2 * amount if end == "more" and by == "funds" else amount
                await chance.choice(callers).capture(hold, amount_micros=chance.randint(0, top))
            ends[end] += 1

    await asyncio.gather(*(spend(n) for n in range(48)))
    assert min(ends[e] for e in ("denied", "less", "more", "release", "extend")) > 0, ends

    await callers[0].reconciled()
    standings = books.prefixes(org)
    assert all(s.held + s.captured <= DOLLAR for s in standings)
    assert all(s.held >= 0 and s.captured >= 0 for s in standings)
    last = standings[-1]
    assert last.held == 0 and last.captured > DOLLAR // 2
    balance = await callers[1].balance(org)
    assert balance["available_micros"] == last.funded - last.captured
    assert balance["held_micros"] == 0
    assert books.charges(org)[1:] == (last.captured, balance["shortfall_micros"])
    if by == "cap":
        (cap,) = balance["caps"]
        assert (cap["used_micros"], cap["held_micros"]) == (last.captured, 0)
        assert balance["shortfall_micros"] == 0


async def test_64_parallel_callers_with_funds_for_k_requests_get_exactly_k_100_times(
    callers: list[Caller], books: Books, org: str
) -> None:
    chance = random.Random(64)
    orgs = [await callers[0].org(f"{org}-{n}", 64 * CENT) for n in range(4)]
    ks: dict[str, list[int]] = {one: [] for one in orgs}
    exact = 0
    for n in range(100):
        one, k, settles = orgs[n % 4], chance.randint(0, 64), chance.random() < 0.5
        # The money for k requests, and a rest that is too small for one more.
        rest = chance.randint(0, CENT - 1)
        funds = {"set_available_micros": k * CENT + rest, "kind": "correction", "note": f"run {n}"}
        await callers[n % 2].ok("POST", f"/v1/orgs/{one}/adjustments", funds)
        answers = await asyncio.gather(
            *(callers[i % 2].authorize(one, capture=settles) for i in range(64))
        )
        balance = await callers[k % 2].balance(one)
        exact += (len(allowed(answers)), balance["available_micros"]) == (k, rest)
        ks[one].append(k)
    assert exact == 100
    await callers[0].reconciled()
    for one in orgs:
        standings = books.prefixes(one)
        assert min(s.available for s in standings) >= 0
        runs: list[int] = []
        for s in standings:
            if s.kind == "adjust":
                runs.append(0)
            elif s.kind == "authorize":
                runs[-1] += s.out.allowed
        assert runs == ks[one]


async def test_a_second_ledger_writer_is_harmless(
    callers: list[Caller], fleet: tuple[Gateway, Gateway], org: str
) -> None:
    """Each gateway has one: they find each other, and neither takes the other's work for a gap."""
    orgs = [await callers[n % 2].org(f"{org}-{n}", DOLLAR) for n in range(8)]
    for _ in range(8):
        work = (callers[i % 2].authorize(orgs[i % 8], capture=True) for i in range(64))
        await asyncio.gather(*work)
        await asyncio.sleep(0.15)
    stopped = [line for g in fleet for line in g.errors if "ledger writer stopped" in line]
    assert stopped == []
    await callers[0].reconciled()


@pytest.mark.parametrize("by", ["funds", "cap"])
async def test_s2_with_4_752720_of_5_dollars_spent_two_of_four_parallel_0_0884_pass(
    callers: list[Caller], books: Books, org: str, by: str
) -> None:
    orgs = [f"{org}-{n}" for n in range(10)]
    for one in orgs:
        await budget(callers[0], one, 5 * DOLLAR, by)
        await callers[1].authorize(one, amount_micros=4_752_720, capture=True)
        answers = await asyncio.gather(
            *(callers[i % 2].authorize(one, amount_micros=88_400) for i in range(4))
        )
        assert len(allowed(answers)) == 2
        refused = "insufficient_funds" if by == "funds" else "cap_exceeded"
        assert codes(answers) == {refused}
        await asyncio.gather(
            *(callers[i].capture(a["hold"]["id"], amount_micros=88_400)
              for i, a in enumerate(allowed(answers)))
        )  # fmt: skip
    await callers[1].reconciled()
    for one in orgs:
        assert max(s.held + s.captured for s in books.prefixes(one)) == 4_929_520
        assert books.charges(one) == (3, 4_929_520, 0)


FREE = 10 * CENT
"""What the shipped free plan includes a day; beside it 20 requests a minute, 2 at once."""


async def test_s3_an_unknown_users_first_simultaneous_requests_obey_the_default_plan(
    callers: list[Caller], books: Books, fleet: tuple[Gateway, Gateway], org: str
) -> None:
    cases = {
        # what 8 (or 25) callers ask at once: how many pass, and why the others do not
        "holds": ({}, 8, 2, {"concurrency_limited"}),
        "short": ({"hold_ttl_s": 2}, 8, 2, {"concurrency_limited"}),
        "dear": ({"quantity": {"units": 2}, "capture": True}, 8, 5, {"insufficient_funds"}),
        "whole": ({"quantity": {"units": 10}, "capture": True}, 8, 1, {"insufficient_funds"}),
        "many": ({"amount_micros": 1, "capture": True}, 25, 20, {"rate_limited"}),
        "unpriced": ({"product": "nobody-knows"}, 8, 0, {"product_unpriced"}),
    }

    async def first_requests(user: str, kind: str) -> list[str]:
        asked, times, passes, why = cases[kind]
        answers = await asyncio.gather(
            *(callers[i % 2].authorize(user, **asked) for i in range(times))
        )
        assert len(allowed(answers)) == passes, (kind, codes(answers))
        assert codes(answers) == why, kind
        assert all(a["draws"][0]["source"] == "included:daily" for a in allowed(answers))
        return [a["hold"]["id"] for a in allowed(answers) if a["hold"]]

    users = {f"{org}-{kind}-{n}": kind for kind in cases for n in range(15)}
    holds: dict[str, list[str]] = {}
    names = list(users)
    random.Random(3).shuffle(names)
    for start in range(0, len(names), 10):
        some = names[start : start + 10]
        found = await asyncio.gather(*(first_requests(user, users[user]) for user in some))
        holds |= dict(zip(some, found, strict=True))

    # A slot and the quota come back: by a release, a capture, or by themselves.
    for one, other in (h for user, h in holds.items() if users[user] == "holds"):
        await callers[0].release(one)
        await callers[1].capture(other, quantity={"units": 1})
    for user in names:
        await until_nothing_is_held(callers[0], user)
    spent = {"holds": 1, "short": 0, "dear": 10, "whole": 10, "many": 0.002, "unpriced": 0}
    for user, kind in users.items():
        balance = await callers[0].balance(user)
        assert balance["available_micros"] == FREE - spent[kind] * CENT, kind
        assert (balance["held_micros"], balance["shortfall_micros"]) == (0, 0), kind

    await callers[1].reconciled()
    assert [u for u in names if books.has_account(u)] == []
    charged = sum(books.charges(user)[1] for user in names)
    assert charged == sum(15 * spent[kind] * CENT for kind in cases)
    await assert_all_goes_away(fleet[0], names, [h for some in holds.values() for h in some])


async def assert_all_goes_away(gateway: Gateway, users: list[str], holds: list[str]) -> None:
    """Every key that a user left in the store has a time to live, and no list names the user."""
    store = Pipeline(parse_url(gateway.store_url), deadline_s=10)
    try:
        left = {
            user: await store.call("KEYS", keys.org_prefix(keys.shard_of(user), user) + "*")
            for user in users
        }
        assert all(left.values())
        for user, found in left.items():
            ttls = await store.call_many([("TTL", key) for key in found])
            lasting = [k for k, ttl in zip(found, ttls, strict=True) if not 0 < ttl < 75 * HOUR_S]
            assert lasting == [], user
        assert not any(b"/v.org" in key or b"/grants" in key for f in left.values() for key in f)
        for hold in holds:
            (key,) = await store.call("KEYS", f"*//hold/{hold}")
            assert 0 < await store.call("TTL", key) <= HOUR_S
        for shard in {keys.shard_of(user) for user in users}:
            due = await store.call("ZRANGE", keys.due(shard), 0, -1)
            assert not set(due) & {hold.encode() for hold in holds}
    finally:
        await store.close()
