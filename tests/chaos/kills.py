"""Killing processes of a deployment while it works, by pid, and only those it started."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.gateways import Gateway

IS_LONG = os.environ.get("CHAOS") == "long"
"""Whether everything is tried, as `make chaos` does, or a part that ends in seconds."""
KINDS = ("store", "worker", "background", "gateway")
"""`gateway` is the parent of all: its children end by themselves, and whoever runs it starts it."""


def children(parent: int) -> Iterator[tuple[int, str]]:
    """The live children of a process: pid, and what it is."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if int((path / "stat").read_text().rpartition(")")[2].split()[1]) != parent:
                continue
            command = (path / "cmdline").read_bytes().decode()
        except (OSError, IndexError):
            continue
        for kind, word in (("store", "valkey"), ("worker", "worker"), ("background", "background")):
            if word in command:
                yield int(path.name), kind


def kill(gateway: Gateway, kind: str) -> bool:
    """SIGKILL one process of a kind; whether there was one. The parent is started again."""
    assert gateway.process is not None
    if kind == "gateway":
        gateway.process.kill()
        gateway.process.wait()
        gateway.start(int(gateway.address.rpartition(":")[2]))
        return True
    for pid, what in children(gateway.process.pid):
        if what == kind:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
    return False


async def kill_now_and_then(
    gateway: Gateway, kinds: tuple[str, ...], times: int, seed: int, pause_s: tuple[float, float]
) -> dict[str, int]:
    """Kill each kind so many times, in a random order; how often each was killed.

    One that is not there, because it was just killed, is waited for.
    """
    chance = random.Random(seed)
    order = [kind for kind in kinds for _ in range(times)]
    chance.shuffle(order)
    done = dict.fromkeys(kinds, 0)
    for kind in order:
        await asyncio.sleep(chance.uniform(*pause_s))
        was_killed = await asyncio.to_thread(kill, gateway, kind)
        while not was_killed:
            await asyncio.sleep(0.05)
            was_killed = await asyncio.to_thread(kill, gateway, kind)
        done[kind] += 1
    return done
