"""Processes: what is killed comes back, what ends leaves nothing behind, data survive both."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from gateway.store.pipeline import Pipeline, parse_url
from tests.gateways import Caller, Gateway, running


def children(parent: int) -> dict[int, str]:
    """pid → command line of the processes below a process."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found[int(path.name)] = command
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pids: list[int]) -> list[int]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(map(is_alive, pids)):
        time.sleep(0.05)
    return [pid for pid in pids if is_alive(pid)]


def one(parent: int, word: str) -> int:
    return next(pid for pid, command in children(parent).items() if word in command)


async def spend(caller: Caller, org: str) -> bool:
    status, answer, _ = await caller.send(
        "POST",
        "/v1/authorize",
        {"subject": {"org": org}, "product": "cent", "quantity": {"units": 1}},
    )
    return bool(status == 200 and answer["decision"] == "allow")


async def until_it_spends(caller: Caller, org: str) -> None:
    for _ in range(200):
        try:
            if await spend(caller, org):
                return
        except (OSError, aiohttp.ClientError):
            # The killed worker's connections break off, whatever they were about.
            pass
        await asyncio.sleep(0.1)
    raise AssertionError("it never came back")


async def test_a_killed_store_or_worker_comes_back_with_everything(tmp_path: Path) -> None:
    with running(tmp_path, store_deadline_ms=500) as gateway:
        assert gateway.process is not None
        async with Caller(gateway.address) as caller:
            await caller.prices()
            await caller.org("acme", 1_000_000)
            hold = (await caller.authorize("acme", quantity={"units": 10}))["hold"]["id"]
            for word in ("valkey-server", "worker"):
                os.kill(one(gateway.process.pid, word), signal.SIGKILL)
                await until_it_spends(caller, "acme")
            assert (await caller.capture(hold, amount_micros=40_000))["captured_micros"] == 40_000
            await caller.reconciled()
            balance = await caller.balance("acme")
        spent = 1_000_000 - balance["available_micros"] - balance["held_micros"]
        assert spent == 40_000
        assert any("starting it again" in line for line in gateway.errors)


async def test_a_stopped_gateway_exits_0_leaves_no_process_and_keeps_its_data(
    tmp_path: Path,
) -> None:
    gateway = Gateway(tmp_path, workers=2)
    gateway.start()
    assert gateway.process is not None
    async with Caller(gateway.address) as caller:
        await caller.prices()
        await caller.org("acme", 1_000_000)
        hold = (await caller.authorize("acme", quantity={"units": 10}))["hold"]["id"]
        before = await caller.balance("acme")
    below = list(children(gateway.process.pid))
    assert len(below) == 4, "the store, the background process, two workers"
    assert gateway.stop() == 0
    assert wait_until_gone(below) == []
    with running(tmp_path) as again:
        async with Caller(again.address) as caller:
            assert await caller.balance("acme") == before
            await caller.release(hold)
            assert (await caller.balance("acme"))["available_micros"] == 1_000_000
            await caller.reconciled()


async def test_a_killed_parent_leaves_no_orphan_and_a_new_one_takes_over(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, workers=2)
    gateway.start()
    assert gateway.process is not None
    async with Caller(gateway.address) as caller:
        await caller.prices()
        await caller.org("acme", 1_000_000)
        for _ in range(20):
            assert await spend(caller, "acme")
    below = list(children(gateway.process.pid))
    gateway.stop(signal.SIGKILL)
    with running(tmp_path) as again:
        assert wait_until_gone(below) == []
        async with Caller(again.address) as caller:
            assert (await caller.balance("acme"))["held_micros"] == 200_000
            await caller.reconciled()


async def test_a_store_that_would_forget_is_refused_in_one_line(
    tmp_path: Path, valkey_url: str
) -> None:
    store = Pipeline(parse_url(valkey_url), deadline_s=5)
    await store.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        line = refusal(tmp_path, "--store-url", valkey_url)
    finally:
        await store.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await store.close()
    assert "maxmemory-policy is allkeys-lru" in line and "noeviction" in line


MISTAKES = {
    "a store that is not there": (["--store-url", "redis://127.0.0.1:1"], "cannot be reached"),
    "a store url of another kind": (["--store-url", "http://x"], "must start with redis://"),
    "a ledger url of another kind": (["--ledger-url", "mysql://x"], "must start with sqlite"),
    "an address of somebody else": (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_an_operators_mistake_is_one_clear_line(tmp_path: Path, name: str) -> None:
    options, said = MISTAKES[name]
    assert said in refusal(tmp_path, *options)


def refusal(directory: Path, *options: str) -> str:
    """The one line with which serve refuses to start."""
    run = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "serve", "--port", "0", *options],
        env={**os.environ, "SPENDGATE_DATA_DIR": str(directory), "SPENDGATE_ADMIN_KEY": "x" * 32},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 2, run.stderr
    assert len(run.stderr.strip().splitlines()) == 1, run.stderr
    return run.stderr
