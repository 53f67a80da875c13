"""The books are compared all the time, in both databases: what does not agree is told at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.ledger.reader import Ledger
from gateway.sql.engine import open_engine
from gateway.store import keys
from gateway.store.pipeline import Pipeline, parse_url
from tests.databases import Postgres
from tests.gateways import Caller, Gateway, running

SPENDERS = 6


@pytest.fixture(params=["sqlite", "postgresql"])
def gateway(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres
) -> Iterator[Gateway]:
    """A gateway that compares often, with its catalog and ledger in one of both databases."""
    urls = {}
    if request.param == "postgresql":
        urls = {"ledger_url": postgres.database(), "catalog_url": postgres.database()}
    with running(tmp_path, reconcile_orgs_per_s=100, **urls) as found:
        yield found


def ledger_url(gateway: Gateway) -> str:
    return str(gateway.settings.get("ledger_url", f"sqlite:///{gateway.directory / 'ledger.db'}"))


async def spend(caller: Caller, org: str) -> None:
    """Holds that are captured, in part or beyond, released, left open, denied."""
    await caller.org(org, 1_000_000)
    for units in range(1, 6):
        await caller.authorize(org, quantity={"units": units}, capture=True)
        hold = (await caller.authorize(org, quantity={"units": units}))["hold"]["id"]
        if units % 2:
            await caller.capture(hold, quantity={"units": units // 2})
        elif units == 2:
            await caller.release(hold)
    await caller.authorize(org, quantity={"units": 1000})
    await caller.authorize(f"free-{org}", "gpt-4o", quantity={"input_tokens": 10}, capture=True)


async def until(caller: Caller, metric: str, is_enough: Callable[[float], bool]) -> float:
    assert caller.session is not None
    async with asyncio.timeout(20):
        while True:
            async with caller.session.get(f"{caller.address}/metrics") as answer:
                lines = (await answer.text()).splitlines()
            found = [float(line.split()[-1]) for line in lines if line.startswith(metric)]
            if found and is_enough(found[0]):
                return found[0]
            await asyncio.sleep(0.2)


async def test_what_differs_is_counted_named_and_forgotten_once_it_agrees(
    gateway: Gateway,
) -> None:
    async with Caller(gateway.address) as caller:
        await caller.prices()
        orgs = [f"org-{n}" for n in range(SPENDERS)]
        await asyncio.gather(*(spend(caller, org) for org in orgs))
        report = await caller.reconciled()
        assert report["checked"]["orgs"] == SPENDERS
        assert report["checked"]["holds"] == SPENDERS * 5
        await until(caller, "spendgate_reconcile_orgs_total", lambda n: n > 2 * SPENDERS)
        assert await until(caller, "spendgate_reconcile_differences", lambda _: True) == 0

        (grant,) = (await caller.balance("org-3"))["grants"]
        key = f"{keys.org_prefix(keys.shard_of('org-3'), 'org-3')}g/{grant['id']}"
        store = Pipeline(parse_url(gateway.store_url), deadline_s=10)
        await store.call("INCRBY", key, 5)
        await until(caller, "spendgate_reconcile_differences", lambda n: n == 1)
        (found,) = (await caller.ok("GET", "/v1/ledger/reconcile"))["differences"]
        assert (found["org"], found["what"]) == ("org-3", f"g/{grant['id']}")
        assert found["hot_micros"] == found["ledger_micros"] + 5
        await store.call("INCRBY", key, -5)
        await store.close()
        await until(caller, "spendgate_reconcile_differences", lambda n: n == 0)
        named = [line for line in gateway.errors if "reconcile: org-3, g/" in line]
        assert len(named) == 1, gateway.errors
        await caller.reconciled()


async def test_sums_go_on_from_where_they_stood_and_find_a_changed_charge(
    gateway: Gateway,
) -> None:
    async with Caller(gateway.address) as caller:
        await caller.prices()
        await asyncio.gather(*(spend(caller, f"org-{n}") for n in range(SPENDERS)))
        await caller.reconciled()
        told = await caller.ok("GET", "/v1/ledger/head")
    gateway.stop()
    engine = open_engine(ledger_url(gateway))
    ledger = Ledger(engine)
    head = await ledger.head()
    assert head.n > told["batch"] or head.hash.hex() == told["hash"]
    async with engine.begin() as c:
        await c.execute(text("DELETE FROM checks"))
        await c.execute(text("UPDATE check_state SET row = 0"))
    whole = sorted(await ledger.books(), key=lambda book: book.book)
    assert {book.book for book in whole} > {f"org-{n}" for n in range(SPENDERS)}
    assert all(book.holds == 5 for book in whole if book.book.startswith("org-"))
    assert all((b.held_by_records, b.charged) == (b.held_by_postings, b.revenue) for b in whole)
    steps = 0
    while await ledger.advance(7):
        steps += 1
        assert sorted(await ledger.books(), key=lambda book: book.book) == whole
    assert steps == -(-head.rows // 7) >= 5

    async with engine.begin() as c:
        changed = "UPDATE charges SET captured_micros = captured_micros + 1 WHERE book = 'org-1'"
        await c.execute(text(changed))
        await c.execute(text("DELETE FROM checks"))
        await c.execute(text("UPDATE check_state SET row = 0"))
    wrong = [b for b in await ledger.books() if b.charged != b.revenue]
    assert [b.book for b in wrong] == ["org-1"]
    await engine.dispose()
