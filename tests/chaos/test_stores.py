"""S7: the store is flushed, or comes back as an older copy, or cut, while callers spend."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.audit import audit, reconciled_in_time
from tests.chaos.kills import IS_LONG
from tests.chaos.valkeys import Valkey
from tests.chaos.world import Heard, set_up, spending
from tests.gateways import Caller, Gateway, running

CALLERS = 12
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "2"))

Trouble = Callable[[Valkey, Path, int], None]


def flush(store: Valkey, _: Path, __: int) -> None:
    store.command("FLUSHALL")


def older_copy(store: Valkey, home: Path, number: int) -> None:
    store.kill()
    store.put_files(home / f"copy{number}")
    store.start()


def cut(store: Valkey, _: Path, number: int) -> None:
    """The append-only file ends somewhere in its last part, as after a power cut."""
    store.kill()
    newest = max(store.files.glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
    size = newest.stat().st_size
    os.truncate(newest, size - random.Random(number).randrange(min(size, 20_000)))
    store.start()


def lost_disk(store: Valkey, _: Path, __: int) -> None:
    """Nothing is left of the store's files."""
    store.kill()
    for path in store.files.glob("*"):
        path.unlink()
    store.start()


async def spend_through(
    home: Path, store: Valkey, trouble: Trouble, rounds: int
) -> tuple[Gateway, Heard]:
    heard = Heard()
    with running(home / "gateway", workers=2, store_url=store.url) as gateway:
        async with Caller(gateway.address) as caller:
            await set_up(caller)
            async with spending(caller, heard, CALLERS):
                for number in range(rounds):
                    await asyncio.sleep(1)
                    await asyncio.to_thread(store.copy_files, home / f"copy{number}")
                    await asyncio.sleep(0.5)
                    await asyncio.to_thread(trouble, store, home, number)
                    await asyncio.sleep(3)
            await reconciled_in_time(caller)
    return gateway, heard


@pytest.mark.parametrize("trouble", [flush, older_copy, cut, lost_disk] if IS_LONG else [cut])
async def test_nothing_acknowledged_is_lost_whatever_becomes_of_the_store(
    tmp_path: Path, trouble: Trouble
) -> None:
    store = Valkey(tmp_path / "store")
    store.start()
    try:
        gateway, heard = await spend_through(tmp_path, store, trouble, ROUNDS)
    finally:
        store.stop()
    await audit(gateway, heard, {trouble.__name__: ROUNDS})
    assert len(heard.decisions) > 100
