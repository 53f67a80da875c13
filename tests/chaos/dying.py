"""A ledger writer that is killed before its n-th step: an SQL statement, or a word to the store.

Reads n from each line of standing input, and lets a child write until it is dead or done; answers
with the child's exit status: -9, or 0 when it came to its end in fewer steps.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from typing import Any

import asyncpg

from gateway.ledger.history import History
from gateway.ledger.writer import Writer
from gateway.sql.engine import open_engine
from gateway.store.functions import Functions
from gateway.store.library import build
from gateway.store.redis import RedisStore
from gateway.wiring.background import build_ledger
from tests.stores import Stepwise


class Steps:
    """Counts steps, and ends this process before one of them."""

    def __init__(self, last: int) -> None:
        self._left = last

    def take(self, _: object = None) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def watch_sqlite(steps: Steps) -> None:
    connect = sqlite3.connect

    def watched(*args: Any, **more: Any) -> sqlite3.Connection:
        connection = connect(*args, **more)
        connection.set_trace_callback(steps.take)
        return connection

    sqlite3.connect = watched


def watch_postgres(steps: Steps) -> None:
    def before(name: str) -> Callable[..., Any]:
        original = getattr(asyncpg.Connection, name)

        async def watched(self: asyncpg.Connection, *args: Any, **more: Any) -> Any:
            steps.take()
            return await original(self, *args, **more)

        return watched

    for name in ("execute", "fetch", "fetchrow", "fetchval", "copy_records_to_table"):
        setattr(asyncpg.Connection, name, before(name))


class Watched(Stepwise):
    """A connection to the store each of whose commands is a step."""

    def __init__(self, url: str, steps: Steps) -> None:
        super().__init__(url)
        self._steps = steps

    async def before(self) -> None:
        self._steps.take()


async def write(store_url: str, ledger_url: str, last: int) -> None:
    steps = Steps(last)
    watch_sqlite(steps)
    watch_postgres(steps)
    pipeline = Watched(store_url, steps)
    engine, ledger = open_engine(ledger_url), build_ledger(ledger_url)
    writer = Writer(RedisStore(Functions(pipeline, build())), ledger, History(engine), print)
    await writer.drain()
    await ledger.close()
    await engine.dispose()
    await pipeline.close()


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(write(sys.argv[1], sys.argv[2], int(line)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
