"""V4: what was flushed is rebuilt from the ledger, the same balances, holds, windows, outcomes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.store.pipeline import Pipeline, parse_url
from tests.chaos.picture import differences, picture
from tests.chaos.world import Heard, Spender, set_up
from tests.gateways import Caller, running


async def until_served(caller: Caller, org: str, within_s: float = 20) -> None:
    """Wait until the gateway decides again."""
    async with asyncio.timeout(within_s):
        while True:
            answer = await caller.authorize(org, amount_micros=0, dry_run=True)
            if all(r["code"] != "store_unavailable" for r in answer["reasons"]):
                return
            await asyncio.sleep(0.05)


async def test_after_flushall_the_hot_state_is_what_it_was(tmp_path: Path) -> None:
    heard = Heard()
    with running(tmp_path, workers=2, sweep_ms=3_600_000) as gateway:
        async with Caller(gateway.address) as caller:
            await set_up(caller)
            spender = Spender(caller, 1, heard)
            for _ in range(400):
                await spender.step()
            await caller.reconciled()
            before = await picture(gateway.store_url)
            store = Pipeline(parse_url(gateway.store_url), deadline_s=10)
            await store.call("FLUSHALL")
            await store.close()
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
