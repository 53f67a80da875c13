"""V6: a replica is promoted, the old primary lives on, and one gateway still talks to it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.process import say
from tests.chaos.audit import lost_and_doubled, reconciled_in_time
from tests.chaos.kills import IS_LONG
from tests.chaos.proxy import Proxy
from tests.chaos.test_durability import Stores
from tests.chaos.test_rebuild import until_served
from tests.chaos.world import ORGS, Heard, Spender, set_up
from tests.gateways import Caller, Gateway
from tests.scenarios.steps import codes


async def spend(caller: Caller, heard: Heard, seconds: float, seed: int) -> None:
    until = asyncio.get_running_loop().time() + seconds
    spenders = [Spender(caller, 100 * seed + n, heard) for n in range(6)]

    async def live(spender: Spender) -> None:
        while asyncio.get_running_loop().time() < until:
            await spender.step()
            await asyncio.sleep(0)

    await asyncio.gather(*map(live, spenders))


@pytest.mark.parametrize("level", ["fsync", "replica", "ledger"] if IS_LONG else ["replica"])
async def test_after_a_failover_the_old_primary_serves_nobody_who_knows(
    tmp_path: Path, level: str
) -> None:
    stores = Stores(tmp_path, "replica")
    assert stores.replica is not None
    stores.primary.command("CONFIG", "SET", "min-replicas-to-write", "1")
    if level != "replica":
        stores.primary.command("CONFIG", "SET", "min-replicas-to-write", "0")
    shared: dict[str, Any] = {
        f"{room}_url": f"sqlite:///{tmp_path / room}.db" for room in ("catalog", "ledger")
    }
    shared |= {"durability": level}
    before, after, late = Heard(), Heard(), Heard()
    try:
        await fail_over(stores, shared, (before, after, late), tmp_path)
    finally:
        stores.stop()
    for heard in (before, after):
        lost, doubled = lost_and_doubled(tmp_path, heard)
        assert not lost and not doubled
    lost, _ = lost_and_doubled(tmp_path, late)
    say(f"{level}: told behind the failover's back {len(late.decisions)}, {len(lost)} lost")
    assert len(before.decisions) > 5 and len(after.decisions) > 5
    if level == "fsync":
        assert len(lost) == len({*late.decisions, *late.ends}), "the ledger refuses all of them"
    else:
        assert not late.decisions and not late.ends


async def fail_over(
    stores: Stores, shared: dict[str, Any], heard: tuple[Heard, Heard, Heard], home: Path
) -> None:
    before, after, late = heard
    shared = {**shared, "pseudonym_key_file": str(home / "pseudonym.key")}
    assert stores.replica is not None
    async with AsyncExitStack() as stack:
        old, new = (s.directory / "s.sock" for s in (stores.primary, stores.replica))
        proxy = await stack.enter_async_context(Proxy(home / "p.sock", old))
        knows = Gateway(home / "knows", 1, store_url=proxy.url, **shared)
        behind = Gateway(home / "behind", 1, store_url=stores.primary.url, **shared)
        for gateway in (knows, behind):
            await asyncio.to_thread(gateway.start)
            stack.push_async_callback(asyncio.to_thread, gateway.stop)
        one = await stack.enter_async_context(Caller(knows.address))
        other = await stack.enter_async_context(Caller(behind.address))
        await set_up(one)
        await asyncio.gather(spend(one, before, 1, 1), spend(other, before, 1, 2))
        stores.promote(with_replica=shared["durability"] == "replica")
        proxy.store = new
        proxy.cut()
        for org in ORGS:
            await until_served(one, org)
        await asyncio.gather(spend(one, after, 1.5, 3), spend(other, late, 1.5, 4))
        # Back to the old primary, with a gateway that knows the new epoch.
        proxy.store = old
        proxy.cut()
        await asyncio.sleep(0.5)
        for org in ORGS:
            assert codes(await one.authorize(org)) == ["store_unavailable"]
        proxy.store = new
        proxy.cut()
        for org in ORGS:
            await until_served(one, org)
        await reconciled_in_time(one)
