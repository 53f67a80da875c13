"""What each durability loses under each fault: the table of the store's README, brought about."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.process import say
from tests.chaos.audit import lost_and_doubled, reconciled_in_time
from tests.chaos.kills import IS_LONG, children
from tests.chaos.valkeys import Valkey
from tests.chaos.world import Heard, Spender, set_up
from tests.gateways import Caller, Gateway

README = Path(__file__).parents[2] / "gateway" / "store" / "README.md"
LEVELS = ("memory", "fsync", "replica", "ledger")
FAULTS = (
    "store killed",
    "gateways killed",
    "store and gateways killed",
    "store's disk lost",
    "store's disk and gateways lost",
)
CELLS = (
    [(level, fault) for level in LEVELS for fault in FAULTS]
    if IS_LONG
    else [
        ("fsync", "store and gateways killed"),
        ("replica", "store's disk and gateways lost"),
    ]
)
LAG_S = 2.0
OPTIONS = {
    "memory": ("--appendonly", "no"),
    "fsync": ("--appendonly", "yes", "--appendfsync", "always"),
    "replica": (
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--repl-diskless-sync-delay",
        "0",
    ),
    "ledger": ("--appendonly", "yes", "--appendfsync", "everysec"),
}


def table() -> dict[str, dict[str, str]]:
    """What the README says: fault → durability → what it may cost."""
    rows = re.findall(r"^\| ([\w' ]+) \| (.+) \|$", README.read_text("utf-8"), re.MULTILINE)
    cells = {fault: [cell.strip() for cell in rest.split("|")] for fault, rest in rows}
    return {
        fault: dict(zip(LEVELS, of, strict=True))
        for fault, of in cells.items()
        if len(of) == len(LEVELS) and of != list(LEVELS)
    }


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Stores:
    """A primary and, where the durability asks for one, its replica."""

    def __init__(self, home: Path, level: str) -> None:
        self.primary = Valkey(home / "primary", *OPTIONS[level], port=free_port())
        self.replica: Valkey | None = None
        self._home = home
        self._all = [self.primary]
        self.primary.start()
        if level == "replica":
            self.replica = self._follow(self.primary, "replica")

    def _follow(self, primary: Valkey, name: str) -> Valkey:
        follow = ("--replicaof", f"127.0.0.1 {primary.url.rpartition(':')[2]}")
        found = Valkey(self._home / name, *OPTIONS["replica"], *follow, port=free_port())
        self._all.append(found)
        found.start()
        started = time.monotonic()
        while "master_link_status:up" not in found.command("INFO", "replication"):
            assert time.monotonic() - started < 20
            time.sleep(0.05)
        return found

    def promote(self, *, with_replica: bool) -> None:
        """The replica is a primary now, with a replica of its own where that is needed."""
        assert self.replica is not None
        self.replica.command("REPLICAOF", "NO", "ONE")
        if with_replica:
            self._follow(self.replica, "third")

    def lose(self) -> Valkey:
        """The primary is gone with its disk; the store there is then."""
        self.primary.kill()
        if self.replica is not None:
            self.promote(with_replica=True)
            return self.replica
        for path in self.primary.directory.rglob("*.aof*"):
            path.unlink()
        self.primary.start()
        return self.primary

    def stop(self) -> None:
        for store in self._all:
            store.stop()


class Timed(Heard):
    """What was heard, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[str, float] = {}


def kill_gateway(gateway: Gateway) -> None:
    """SIGKILL the parent and all its children, at once."""
    assert gateway.process is not None
    pids = [gateway.process.pid, *(pid for pid, _ in children(gateway.process.pid))]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    gateway.process.wait()


async def spend(caller: Caller, heard: Timed, is_over: asyncio.Event, seed: int) -> None:
    spender = Spender(caller, seed, heard)
    while not is_over.is_set():
        before = len(heard.decisions)
        await spender.step()
        if len(heard.decisions) > before:
            heard.at[next(reversed(heard.decisions))] = time.monotonic()
        await asyncio.sleep(0)


async def bring_about(fault: str, gateway: Gateway, stores: Stores) -> None:
    if "gateways" in fault:
        kill_gateway(gateway)
    if fault in ("store killed", "store and gateways killed"):
        await asyncio.to_thread(stores.primary.kill)
        await asyncio.to_thread(stores.primary.start)
    if "disk" in fault:
        store = await asyncio.to_thread(stores.lose)
        if "gateways" not in fault and stores.replica is not None:
            # Whoever runs it points the gateway at the promoted one.
            await asyncio.to_thread(gateway.stop)
        gateway.settings["store_url"] = store.url


@pytest.fixture
def both(level: str, tmp_path: Path) -> Iterator[Stores]:
    found = Stores(tmp_path, level)
    yield found
    found.stop()


@pytest.mark.parametrize(("level", "fault"), CELLS)
async def test_a_fault_costs_what_the_table_says(
    both: Stores, tmp_path: Path, level: str, fault: str
) -> None:
    settings: dict[str, Any] = {"store_url": both.primary.url, "durability": level}
    gateway, heard = Gateway(tmp_path / "gateway", 2, **settings), Timed()
    await asyncio.to_thread(gateway.start)
    is_over = asyncio.Event()
    async with Caller(gateway.address) as caller:
        await set_up(caller)
        callers = [asyncio.create_task(spend(caller, heard, is_over, n)) for n in range(8)]
        await asyncio.sleep(1.2)
        happened = time.monotonic()
        await bring_about(fault, gateway, both)
        if gateway.process is not None and gateway.process.poll() is None:
            await asyncio.sleep(2.5)
        is_over.set()
        await asyncio.gather(*callers)
    if gateway.process is not None and gateway.process.poll() is not None:
        await asyncio.to_thread(gateway.start)
    async with Caller(gateway.address) as caller:
        await reconciled_in_time(caller)
    await asyncio.to_thread(gateway.stop)
    lost, doubled = lost_and_doubled(gateway.directory, heard)
    say(f"{level}, {fault}: {len(heard.decisions)} acknowledged, {len(lost)} lost")
    assert not doubled
    assert len(heard.decisions) > 50
    allowed = table()[fault][level]
    if allowed == "0":
        assert not lost
    else:
        assert allowed == "lag"
        assert all(heard.at.get(name, happened) > happened - LAG_S for name in lost)


def test_the_table_has_every_fault_and_durability() -> None:
    assert set(table()) == {*FAULTS, "failover that one gateway misses"}
    assert all(set(of) == set(LEVELS) for of in table().values())
