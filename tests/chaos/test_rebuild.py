"""V4: what was flushed is rebuilt from the ledger, the same balances, holds, windows, outcomes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.cli.process import say
from gateway.store.pipeline import Pipeline, parse_url
from tests.chaos.audit import audit
from tests.chaos.kills import IS_LONG
from tests.chaos.picture import differences, picture, settled
from tests.chaos.world import Heard, Spender, is_undecided, set_up, spending
from tests.gateways import Caller, Gateway, running

CALLERS = 24
FLUSHES = 10 if IS_LONG else 2


async def until_served(caller: Caller, org: str, within_s: float = 20) -> None:
    """Wait until the gateway decides again."""
    async with asyncio.timeout(within_s):
        while True:
            answer = await caller.authorize(org, amount_micros=0, dry_run=True)
            if not is_undecided(answer):
                return
            await asyncio.sleep(0.05)


async def flush(gateway: Gateway) -> None:
    store = Pipeline(parse_url(gateway.store_url), deadline_s=10)
    await store.call("FLUSHALL")
    await store.close()


async def test_after_flushall_the_hot_state_is_what_it_was(tmp_path: Path) -> None:
    heard = Heard()
    with running(tmp_path, workers=2, sweep_ms=3_600_000) as gateway:
        async with Caller(gateway.address) as caller:
            await set_up(caller)
            spender = Spender(caller, 1, heard)
            for _ in range(400):
                await spender.step()
            await caller.reconciled()
            before = await settled(gateway.store_url)
            await flush(gateway)
            await until_served(caller, "acme")
            after = await picture(gateway.store_url)
            assert differences(before, after) == []
            assert any("//hold/" in name for name in after)
            await caller.reconciled()
            # What was answered under a key is answered again, byte for byte.
            again = Spender(caller, 1, Heard())
            for _ in range(100):
                await again.step()
            await caller.reconciled()
    assert len(heard.decisions) > 150


async def test_flushed_at_full_load_it_is_soon_what_the_ledger_says(tmp_path: Path) -> None:
    heard, seconds = Heard(), []
    with running(tmp_path, workers=2, sweep_ms=3_600_000) as gateway:
        async with Caller(gateway.address) as caller:
            await set_up(caller)
            async with spending(caller, heard, CALLERS):
                for _ in range(FLUSHES):
                    await asyncio.sleep(1.5)
                    await flush(gateway)
                    started = asyncio.get_running_loop().time()
                    await until_served(caller, "acme")
                    seconds.append(asyncio.get_running_loop().time() - started)
            await gateway.settled()
            await caller.reconciled()
            before = await settled(gateway.store_url)
            await flush(gateway)
            await until_served(caller, "acme")
            assert differences(before, await picture(gateway.store_url)) == []
            await caller.reconciled()
    say(f"served again after {', '.join(f'{s:.1f}' for s in seconds)} s")
    await audit(gateway, heard, {"flushed": FLUSHES})
    assert len(heard.decisions) > 300


async def test_who_stands_on_a_list_stands_there_after_a_flush(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        async with Caller(gateway.address) as caller:
            await set_up(caller)
            for value in ("u_1", "u_2"):
                await caller.ok("PUT", f"/v1/lists/block/items/user:acme/{value}", {})
            await caller.send("DELETE", "/v1/lists/block/items/user:acme/u_2")
            await flush(gateway)
            await until_served(caller, "acme")
            for user, decision in (("u_1", "deny"), ("u_2", "allow")):
                answer = await caller.authorize("acme", user=user, amount_micros=1)
                assert answer["decision"] == decision, user
