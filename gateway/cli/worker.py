"""`spendgate worker`: one worker process; started by `serve`, not by hand."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

import uvloop

from gateway.settings import Settings, from_environment
from gateway.wiring import collect_seldom, serve_worker

PARENT_CHECK_S = 1.0


def worker() -> None:
    """Serve until SIGTERM, then finish what is under way."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    uvloop.run(_run(from_environment()))


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    parts, serving = await serve_worker(settings, f"worker-{os.getpid()}")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    collect_seldom()
    watching = asyncio.create_task(_stop_without_parent(stop))
    await stop.wait()
    watching.cancel()
    await serving.stop()
    await parts.close()


async def _stop_without_parent(stop: asyncio.Event) -> None:
    # Where the system cannot tell a child of its parent's death, looking does.
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110  nothing tells: it has to be looked at
        await asyncio.sleep(PARENT_CHECK_S)
    stop.set()
