"""`spendgate worker`: one worker process; started by `serve`, not by hand."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

import uvloop

from gateway.settings import Settings, from_environment

PARENT_CHECK_S = 1.0


def worker() -> None:
    """Serve until SIGTERM, then finish what is under way."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    uvloop.run(_run(from_environment()))


async def _run(settings: Settings) -> None:
    from gateway.observe.metrics import PrometheusHooks  # noqa: PLC0415  reads its folder on import
    from gateway.wiring import serve_worker  # noqa: PLC0415  as above

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    parts, serving = await serve_worker(settings, PrometheusHooks(), settings.store_url)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    watching = asyncio.create_task(_stop_without_parent(stop))
    await stop.wait()
    watching.cancel()
    await serving.stop()
    await parts.close()


async def _stop_without_parent(stop: asyncio.Event) -> None:
    # Where the system cannot tell a child of its parent's death, looking does.
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_CHECK_S)
    stop.set()
