"""When a change counts as made: what must have it before its caller hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.errors import Bug, Unavailable
from gateway.store import keys
from gateway.store.functions import Functions
from gateway.store.port import Standing, Store
from gateway.store.shards import Shards

LOOK_S = 0.005
SYNC_S = 0.0015
"""About as long as a replica takes to sync."""
ASK_AGAIN_MS = 10
MARK_MS = 1_000


Position = tuple[int, int]
"""Where a record stands in its shard: epoch, and number within it."""
Waiting = tuple[int, Position, asyncio.Future[None]]


class Replicated:
    """A change counts once a replica has it on its disk, too. All who wait share one question.

    Asked together with a change, a replica answers from before it synced, and then not for a
    second: so a mark is set behind the changes, on a connection of its own, and asked for a moment
    later. That this connection leads to the server that made the changes, and still does when it
    answers, is checked: behind it a failover may have put another one.
    """

    def __init__(self, functions: Functions, store: Store, wait_s: float) -> None:
        self._functions = functions
        self._shards = Shards(functions)
        self._store = store
        self._wait_s = wait_s
        self._waiting: list[Waiting] = []
        self._asking: asyncio.Task[None] | None = None

    async def __call__(self, shard: int, position: Position | None) -> None:
        """Wait for a record; without a position, for the shard's last. Raises Unavailable."""
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

    async def _ask(self, shards: set[int]) -> dict[int, Standing]:
        """How these shards stand where a replica has all of it; nothing where none has."""
        there = await self._shards.standing(list(shards))
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
        """Let go of the connection."""
        await self._functions.pipeline.close()


class Booked:
    """A change counts once the ledger has its record. All who wait share one look at it."""

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
        """Wait for a record; without a position, for the shard's last. Raises Unavailable."""
        wanted = position or await self._store.last(shard)
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((shard, wanted, done))
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        await _within(done, self._wait_s, "the ledger did not have the decision in time")

    async def close(self) -> None:
        """It has nothing of its own."""

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
