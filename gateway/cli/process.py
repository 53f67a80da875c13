"""Output, signals and settings of commands, and the parts of a deployment they open."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.settings import Settings
from gateway.store.embedded import EmbeddedStore
from gateway.store.pipeline import Pipeline, parse_url

PARENT_CHECK_S = 1.0


def say(line: str) -> None:
    """Print a line for the operator; it is flushed before the call returns."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def warn(line: str) -> None:
    """Print a warning for the operator."""
    sys.stderr.write(f"spendgate: {line}\n")
    sys.stderr.flush()


async def said_to_stop() -> None:
    """Return at SIGTERM or SIGINT, or when the parent has died."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watching = asyncio.create_task(_stop_without_parent(stop))
    await stop.wait()
    watching.cancel()


async def _stop_without_parent(stop: asyncio.Event) -> None:
    # Where the system cannot tell a child of its parent's death, looking does.
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110  nothing tells: it has to be looked at
        await asyncio.sleep(PARENT_CHECK_S)
    stop.set()


@asynccontextmanager
async def store_of(settings: Settings) -> AsyncIterator[str]:
    """The url of a deployment's store: an embedded one that does not run is started for the time.

    Raises OperatorError when it cannot be started.
    """
    if settings.store_url:
        yield settings.store_url
        return
    embedded = EmbeddedStore(settings.directory / "valkey", warn)
    pipeline = Pipeline(parse_url(embedded.url), deadline_s=1.0)
    try:
        await pipeline.call("PING")
        is_running = True
    except Exception:
        is_running = False
    finally:
        await pipeline.close()
    if is_running:
        yield embedded.url
        return
    await embedded.start()
    try:
        yield embedded.url
    finally:
        await embedded.stop()
