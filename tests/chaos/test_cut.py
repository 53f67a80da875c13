"""V3: the append-only file may end at any byte: what it brings back is the state of one moment."""

from __future__ import annotations

import bisect
import os
import random
import shutil
from pathlib import Path
from typing import Any

from gateway.cli.process import say
from gateway.store.memory import MemoryStore
from tests.chaos.kills import IS_LONG
from tests.chaos.valkeys import Valkey
from tests.properties.orders import START_MS, Life, apply, compare_states
from tests.stores import CLOCK_KEY, ClockedRedis, Stepwise, dump_redis

STEPS = 100
CUTS = 15
"""In the short form: so many bytes, and so many beside the ends of commands."""

Moment = tuple[int, int, dict[str, Any]]
"""The append-only file's length behind a command, the clock then, and the whole state."""


def newest_part(store: Valkey) -> Path:
    return max(store.files.glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)


class Watched(Stepwise):
    """A connection that notes what the store holds behind each command, once it is told to."""

    def __init__(self, store: Valkey) -> None:
        super().__init__(store.url)
        self._store, self._eye = store, ClockedRedis(store.url)
        self.moments: list[Moment] = []

    def _size(self) -> int:
        return newest_part(self._store).stat().st_size

    async def behind(self) -> None:
        if self.moments and self._size() > self.moments[-1][0]:
            await self.note()

    async def note(self) -> None:
        now_ms = self._eye.now_ms = int(await self._eye.pipeline.call("GET", CLOCK_KEY))
        self.moments.append((self._size(), now_ms, await dump_redis(self._eye)))

    async def close(self) -> None:
        await self._eye.close()
        await super().close()


async def live(store: Valkey) -> list[Moment]:
    """A random life on a store: what it held behind each command, its first state included."""
    watched = Watched(store)
    redis = ClockedRedis(store.url, START_MS, watched)
    await redis.prepare()
    await watched.note()
    life, memory = Life(5), MemoryStore(lambda: redis.now_ms)
    for _ in range(STEPS):
        if life.chance.random() < 0.3:
            await redis.set_time(life.tick())
        order = life.order()
        assert await apply(redis, order) == await apply(memory, order)
    await compare_states(memory, redis)
    await redis.close()
    return watched.moments


async def found_after_cut(home: Path, files: Path, part: str, size: int) -> tuple[int, Any]:
    """The clock and state that a server brings back from the file's first `size` bytes."""
    store = Valkey(home)
    shutil.rmtree(store.files, ignore_errors=True)
    shutil.copytree(files, store.files)
    os.truncate(store.files / part, size)
    store.start()
    eye = ClockedRedis(store.url)
    try:
        eye.now_ms = int(await eye.pipeline.call("GET", CLOCK_KEY))
        return eye.now_ms, await dump_redis(eye)
    finally:
        await eye.close()
        store.kill()


def chosen(sizes: list[int]) -> list[int]:
    """Where to cut: everywhere, or at some bytes and beside the ends of some commands."""
    first, last = sizes[0], sizes[-1]
    if IS_LONG:
        return list(range(first, last + 1))
    chance = random.Random(1)
    ends = {min(last, max(first, size + chance.choice((-1, 0, 1)))) for size in sizes}
    return sorted({*chance.sample(range(first, last), CUTS), *chance.sample(sorted(ends), CUTS)})


async def test_a_file_cut_at_any_byte_brings_back_a_state_that_once_was(tmp_path: Path) -> None:
    store = Valkey(tmp_path / "store")
    store.start()
    try:
        moments = await live(store)
    finally:
        store.stop()
    part, sizes = newest_part(store).name, [size for size, _, _ in moments]
    cuts = chosen(sizes)
    for size in cuts:
        _, now_ms, expected = moments[bisect.bisect_right(sizes, size) - 1]
        found = await found_after_cut(tmp_path / "cut", store.files, part, size)
        assert found == (now_ms, expected), (size, sizes[0], sizes[-1])
    states = {repr(state) for _, _, state in moments}
    say(f"cut at {len(cuts)} of {sizes[-1] - sizes[0]} bytes; {len(states)} states, each found so")
    assert len(states) > STEPS / 4
