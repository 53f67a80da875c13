"""How long a worker's loop stands still while something is done in a thread beside it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

import uvloop

from gateway.flows.risk.compile_process import THREADS_GIVE_WAY_S


def longest_pause_ms(work: Callable[[], object], rounds: int) -> float:
    """Milliseconds: the median over some rounds of each round's longest pause."""
    found = sorted(uvloop.run(_once(work)) for _ in range(rounds))
    return found[rounds // 2]


async def _once(work: Callable[[], object]) -> float:
    sys.setswitchinterval(THREADS_GIVE_WAY_S)
    pauses: list[float] = []
    await asyncio.to_thread(int)

    async def beat() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0)
            pauses.append(time.perf_counter() - began)

    beating = asyncio.create_task(beat())
    await asyncio.sleep(0.05)
    pauses.clear()
    await asyncio.to_thread(work)
    beating.cancel()
    return 1000 * max(pauses)
