"""V7: a store that is full refuses new holds, and still ends those there are."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.audit import reconciled_in_time
from tests.chaos.valkeys import Valkey
from tests.gateways import Caller, running
from tests.scenarios.steps import CENT, codes, funds, until_nothing_is_held


async def test_at_maxmemory_nothing_new_is_held_and_holds_still_end(tmp_path: Path) -> None:
    store = Valkey(tmp_path / "store")
    store.start()
    with running(tmp_path / "gateway", workers=2, store_url=store.url) as gateway:
        async with Caller(gateway.address) as caller:
            await caller.prices()
            await caller.org("acme", 100 * CENT)
            holds = [(await caller.authorize("acme"))["hold"]["id"] for _ in range(20)]
            expiring = [(await caller.authorize("acme", hold_ttl_s=1)) for _ in range(5)]
            assert all(answer["decision"] == "allow" for answer in expiring)
            store.command("CONFIG", "SET", "maxmemory", "1")

            for answer in [await caller.authorize("acme") for _ in range(5)]:
                assert codes(answer) == ["store_unavailable"]
                assert answer["status_hint"] == 503
            for hold in holds[:10]:
                done = await caller.capture(hold, quantity={"units": 1})
                assert done["captured_micros"] == CENT
            for hold in holds[10:]:
                assert (await caller.release(hold))["status"] == "released"
            report = await reconciled_in_time(caller)
            assert report["checked"]["holds"] == 25
            # Those that were to expire do, as well.
            await until_nothing_is_held(caller, "acme")
            assert await funds(caller, "acme") == (90 * CENT, 0, 0)

            store.command("CONFIG", "SET", "maxmemory", "0")
            assert (await caller.authorize("acme"))["decision"] == "allow"
            await reconciled_in_time(caller)
    store.stop()
