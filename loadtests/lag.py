"""How far the ledger is behind the store, looked at again and again while others load it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.flows.operations.reconcile import lag_s
from gateway.ledger.reader import Ledger
from gateway.sql.engine import open_engine
from gateway.store.functions import Functions
from gateway.store.library import build
from gateway.store.pipeline import Pipeline, parse_url
from gateway.store.redis import RedisStore

LOOK_EVERY_S = 0.1


@contextmanager
def lags(directory: Path) -> Iterator[list[float]]:
    """The lags, in seconds, of a deployment's ledger while the block runs."""
    found: list[float] = []
    is_over = threading.Event()
    looking = threading.Thread(target=lambda: asyncio.run(_look(directory, found, is_over)))
    looking.start()
    try:
        yield found
    finally:
        is_over.set()
        looking.join()


async def _look(directory: Path, found: list[float], is_over: threading.Event) -> None:
    engine = open_engine(f"sqlite:///{directory}/ledger.db")
    pipeline = Pipeline(parse_url(f"unix://{directory}/valkey/valkey.sock"), deadline_s=10)
    ledger, store = Ledger(engine), RedisStore(Functions(pipeline, build()))
    while not is_over.is_set():
        found.append(await lag_s(ledger, store))
        await asyncio.sleep(LOOK_EVERY_S)
    await store.close()
    await engine.dispose()
