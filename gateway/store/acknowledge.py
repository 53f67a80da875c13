"""When a change is acknowledged: what must have it before its caller gets the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.errors import Bug, Unavailable
from gateway.store import keys
from gateway.store.functions import Functions
from gateway.store.port import ShardState, Store
from gateway.store.shards import Shards

LOOK_S = 0.005
"""Seconds between two looks at the ledger's cursors."""
SYNC_S = 0.0015
"""Seconds before the replica is asked: about as long as it takes to sync."""
ASK_AGAIN_MS = 10
"""Time in ms that one WAITAOF waits for the replica."""
MARK_MS = 1_000
"""Life of the mark in ms."""


Position = tuple[int, int]
"""The place of a record in its shard: epoch, and number within it."""
Waiting = tuple[int, Position, asyncio.Future[None]]


class Replicated:
    """Confirm a change once a replica has it on its disk, too; all callers share one question.

    A replica that is asked together with a change answers from before it synced, and then not for a
    second. So a mark is written after the changes, on a connection of its own, and the replica is
    asked for the mark a little later. A failover may have put another server at the end of this
    connection. So the shard's epoch must be the record's, and the connection must still be the same
    when the replica answers.
    """

    def __init__(self, functions: Functions, store: Store, wait_s: float) -> None:
        self._functions = functions
        self._shards = Shards(functions)
        self._store = store
        self._wait_s = wait_s
        self._waiting: list[Waiting] = []
        self._asking: asyncio.Task[None] | None = None

    async def __call__(self, shard: int, position: Position | None) -> None:
        """Wait for a record; without a position, for the shard's last.

        Raises Unavailable.
        """
        wanted = position or await self._store.last(shard)
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((shard, wanted, done))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_for_all())
        await _within(done, self._wait_s, "no replica had the decision on its disk in time")

    async def _ask_for_all(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            try:
                there = await self._ask({shard for shard, _, _ in waiting})
            except (Unavailable, Bug):
                there = {}
            for shard, wanted, done in waiting:
                at = there.get(shard)
                if done.done():
                    continue
                if at is not None and at.is_open and at.epoch == wanted[0] and at.last >= wanted:
                    done.set_result(None)
                else:
                    detail = "no replica has the decision on its disk"
                    done.set_exception(Unavailable("store_unavailable", detail))

    async def _ask(self, shards: set[int]) -> dict[int, ShardState]:
        """Return the shards' status where a replica has all of it; nothing where none has."""
        there = await self._shards.states(list(shards))
        connection = self._functions.pipeline.connections
        await self._functions.run(("SET", keys.mark(), 1, "PX", MARK_MS))
        loop = asyncio.get_running_loop()
        until, replicas = loop.time() + self._wait_s, 0
        while not replicas and loop.time() < until:
            await asyncio.sleep(SYNC_S)
            _, replicas = await self._functions.run(("WAITAOF", 1, 1, ASK_AGAIN_MS))
        is_same = connection == self._functions.pipeline.connections
        return there if replicas and is_same else {}

    async def close(self) -> None:
        """Close the connection."""
        await self._functions.pipeline.close()


class Booked:
    """Confirm a change once the ledger has its record; all callers share one look at the ledger."""

    def __init__(
        self,
        cursors: Callable[[], Awaitable[dict[int, Position]]],
        store: Store,
        wait_s: float,
    ) -> None:
        self._cursors = cursors
        self._store = store
        self._wait_s = wait_s
        self._waiting: list[Waiting] = []
        self._looking: asyncio.Task[None] | None = None

    async def __call__(self, shard: int, position: Position | None) -> None:
        """Wait for a record; without a position, for the shard's last.

        Raises Unavailable.
        """
        wanted = position or await self._store.last(shard)
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((shard, wanted, done))
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        await _within(done, self._wait_s, "the ledger did not have the decision in time")

    async def close(self) -> None:
        """Do nothing: there is no connection of its own."""

    async def _look(self) -> None:
        while self._waiting:
            try:
                cursors = await self._cursors()
            except Unavailable:
                cursors = {}
            waiting, self._waiting = self._waiting, []
            for shard, wanted, done in waiting:
                if done.done():
                    continue
                epoch, seq = cursors.get(shard, (0, -1))
                if epoch > wanted[0]:
                    # Another store took over: whether this record got in before is not known.
                    detail = "the ledger takes no more records of this store"
                    done.set_exception(Unavailable("store_unavailable", detail))
                elif (epoch, seq) >= wanted:
                    done.set_result(None)
                else:
                    self._waiting.append((shard, wanted, done))
            await asyncio.sleep(LOOK_S)


async def _within(done: asyncio.Future[None], wait_s: float, detail: str) -> None:
    try:
        async with asyncio.timeout(wait_s):
            await done
    except TimeoutError:
        raise Unavailable("store_unavailable", detail) from None
