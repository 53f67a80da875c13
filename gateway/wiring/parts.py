"""Parts that several kinds of processes are made of."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.observe.metrics import CountingHooks
from gateway.settings import Settings
from gateway.sql.engine import Engine
from gateway.store.admission import Admission
from gateway.store.functions import Functions
from gateway.store.library import build
from gateway.store.pipeline import Pipeline, parse_url
from gateway.store.redis import RedisStore

log = logging.getLogger("spendgate")

GC_THRESHOLDS = (50_000, 20, 100)
CANCEL_AGAIN_S = 1.0
METRICS_EVERY_S = 1.0
ACCESSORY_PAUSE_S = 10

Tasks = tuple[asyncio.Future[None], ...]
"""Tasks that run beside the main work until they are cancelled."""


def collect_seldom() -> None:
    """A request makes a hundred short-lived values and no cycles: collections find little.

    What lives until the end is not looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def build_functions(settings: Settings, url: str, deadline_s: float | None = None) -> Functions:
    """The store's functions at a URL; nothing is connected yet.

    With a deadline of its own a process answers no callers: then nothing is urgent.
    """
    wait_s = settings.store_deadline_ms / 1000 if deadline_s is None else deadline_s
    urgent_s = settings.decision_deadline_ms / 1000 if deadline_s is None else None
    longest_s = settings.queue_deadline_ms / 1000
    pipeline = Pipeline(parse_url(url), deadline_s=wait_s, urgent_s=urgent_s, longest_s=longest_s)
    return Functions(pipeline, build())


def build_store(settings: Settings, functions: Functions) -> RedisStore:
    """A store over its functions."""
    return RedisStore(
        functions,
        late_capture_ms=1000 * settings.late_capture_s,
        ended_kept_ms=1000 * settings.ended_hold_kept_s,
        admission=Admission(
            target_s=settings.queue_target_ms / 1000 or None,
            deadline_s=settings.queue_deadline_ms / 1000,
        ),
    )


class Lease:
    """One of many processes works for all: the one that holds the lease, and renews it in time."""

    def __init__(self, store: RedisStore, name: str, for_ms: int) -> None:
        self._store = store
        self._name, self._for_ms = name, for_ms
        self._holder = secrets.token_hex(8)
        self._asks_at_s = 0.0

    async def is_ours(self) -> bool:
        """Whether this process has it. Raises Unavailable."""
        now_s = time.monotonic()
        if now_s >= self._asks_at_s:
            if not await self._store.lease(self._name, self._holder, self._for_ms):
                return False
            self._asks_at_s = now_s + self._for_ms / 3000
        return True


def counting_hooks(settings: Settings, name: str) -> CountingHooks:
    """Hooks of the process of that name."""
    return CountingHooks(Path(settings.metrics) / f"{name}.json")


async def write_counts(hooks: CountingHooks, before: Callable[[], None] | None = None) -> None:
    """Write counts to the metrics file, every second; `before` may add to them."""
    said = ""
    while True:
        if before is not None:
            before()
        # Not on the loop: replacing a file may wait for the disk.
        try:
            await asyncio.to_thread(hooks.write)
        except OSError as error:
            if str(error) != said:
                log.warning("metrics cannot be written: %s", error)
            said = str(error)
        await asyncio.sleep(METRICS_EVERY_S)


async def cancel_tasks(chores: Tasks) -> None:
    """Cancel tasks and wait until they have ended.

    A cancellation that arrives as a wait ends may be swallowed, so it is repeated.
    """
    while left := [chore for chore in chores if not chore.done()]:
        for chore in left:
            chore.cancel()
        await asyncio.wait(left, timeout=CANCEL_AGAIN_S)


async def dispose(engines: tuple[Engine, ...]) -> None:
    """Let go of databases."""
    for engine in engines:
        await engine.dispose()


def start(*chores: Awaitable[None]) -> Tasks:
    """Start tasks. If one fails the process ends and is restarted, so no failure goes unseen."""
    tasks = tuple(asyncio.ensure_future(chore) for chore in chores)
    for task in tasks:
        task.add_done_callback(_end_with)
    return tasks


def accessory(name: str, chore: Callable[[], Awaitable[None]]) -> Awaitable[None]:
    """A task that nothing depends on: its failure is logged, and it is restarted."""

    async def run() -> None:
        while True:
            try:
                await chore()
            except Exception:
                log.exception("%s failed; trying again in %d s", name, ACCESSORY_PAUSE_S)
            await asyncio.sleep(ACCESSORY_PAUSE_S)

    return run()


def _end_with(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("a chore failed; the process ends", exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)
