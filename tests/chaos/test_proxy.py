"""V5: whatever becomes of the store's replies, nobody ever receives another's answer."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.cli.process import say
from gateway.errors import Unavailable
from gateway.store.pipeline import Pipeline, parse_url
from tests.chaos.audit import audit, reconciled_in_time
from tests.chaos.kills import IS_LONG
from tests.chaos.proxy import FAULTS, Fault, Proxy
from tests.chaos.valkeys import Valkey
from tests.chaos.world import Heard, Spender, set_up
from tests.gateways import Caller, Gateway

ASKERS = 40
SECONDS = 4 if IS_LONG else 2


async def test_a_connection_lost_as_soon_as_it_is_made_leaves_nobody_waiting(
    tmp_path: Path,
) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s.sock"))
    listener.listen(64)

    def hang_up() -> None:
        with suppress(OSError):
            while True:
                listener.accept()[0].close()

    threading.Thread(target=hang_up, daemon=True).start()
    pipeline = Pipeline(parse_url(f"unix://{tmp_path / 's.sock'}"), deadline_s=60)

    async def ask() -> None:
        for _ in range(100):
            with pytest.raises(Unavailable):
                await pipeline.call("PING")

    async with asyncio.timeout(20):
        await asyncio.gather(*(ask() for _ in range(10)))
    await pipeline.close()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


async def test_every_reply_belongs_to_its_command(tmp_path: Path) -> None:
    store = Valkey(tmp_path / "store", "--appendonly", "no")
    store.start()
    own, unavailable = 0, 0
    async with Proxy(tmp_path / "p.sock", tmp_path / "store" / "s.sock") as proxy:
        proxy.kinds, proxy.probability = FAULTS, 0.02
        pipeline = Pipeline(parse_url(proxy.url), deadline_s=0.2)
        until = asyncio.get_running_loop().time() + SECONDS

        async def ask(seed: int) -> None:
            nonlocal own, unavailable
            chance, number = random.Random(seed), 0
            while asyncio.get_running_loop().time() < until:
                number += 1
                said = f"{seed}-{number}-{'x' * chance.choice((0, 10, 700))}"
                try:
                    # Some give up before the answer comes.
                    async with asyncio.timeout(chance.choice((0.002, 0.02, 9))):
                        heard = await pipeline.call("ECHO", said)
                except Unavailable:
                    unavailable += 1
                    await asyncio.sleep(0.01)
                except TimeoutError:
                    continue
                else:
                    assert heard.decode() == said
                    own += 1

        await asyncio.gather(*(ask(seed) for seed in range(ASKERS)))
        await pipeline.close()
    store.stop()
    say(f"{own} replies, {proxy.done} faults, {unavailable} heard unavailable, 0 another's")
    assert own > 1000
    assert all(proxy.done.values())


@pytest.mark.parametrize("kinds", [("delay", "cut"), FAULTS] if IS_LONG else [FAULTS])
async def test_no_decision_is_lost_doubled_or_mixed_up_behind_a_bad_line(
    tmp_path: Path, kinds: tuple[Fault, ...]
) -> None:
    store, heard = Valkey(tmp_path / "store"), Heard()
    store.start()
    async with Proxy(tmp_path / "p.sock", tmp_path / "store" / "s.sock") as proxy:
        settings = {"store_url": proxy.url, "decision_deadline_ms": 100}
        gateway = Gateway(tmp_path / "gateway", 2, **settings)
        # In a thread: the proxy lives in this loop.
        await asyncio.to_thread(gateway.start)
        async with Caller(gateway.address) as caller:
            await set_up(caller)
            proxy.kinds = kinds
            until = asyncio.get_running_loop().time() + 2 * SECONDS

            async def live(seed: int) -> None:
                spender = Spender(caller, seed, heard)
                while asyncio.get_running_loop().time() < until:
                    await spender.step()
                    await asyncio.sleep(0)

            await asyncio.gather(*(live(seed) for seed in range(12)))
            proxy.kinds = ()
            # The writer waits up to 30 s for a reply that got lost on the way.
            await reconciled_in_time(caller, 60)
        await asyncio.to_thread(gateway.stop)
    store.stop()
    await audit(gateway, heard, proxy.done)
    assert len(heard.decisions) > 100
