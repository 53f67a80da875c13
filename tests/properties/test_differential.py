"""The reference machine is the meaning, Lua its fast copy: random lives of orgs through both."""

from __future__ import annotations

import os

import pytest

from gateway.store.memory import MemoryStore
from tests.properties.orders import START_MS, Life, apply, compare_states
from tests.stores import ClockedRedis

STEPS = int(os.environ.get("DIFFERENTIAL_STEPS", "20000"))


@pytest.mark.parametrize("seed", range(4))
async def test_lua_and_machine_agree_on_every_reply_and_on_all_state(
    valkey_url: str, seed: int
) -> None:
    life = Life(seed)
    redis = ClockedRedis(valkey_url, START_MS)
    memory = MemoryStore(lambda: redis.now_ms)
    await redis.prepare()
    statuses: dict[str, int] = {}
    for step in range(STEPS // 4):
        if life.chance.random() < 0.5:
            await redis.set_time(life.tick())
        order = life.order()
        expected, found = await apply(memory, order), await apply(redis, order)
        if found != expected:
            print(step, order, found, expected, sep="\n")
        assert found == expected
        name = f"{type(order).__name__} {getattr(expected, 'status', '')}"
        statuses[name] = statuses.get(name, 0) + 1
        if step % 1000 == 999:
            await compare_states(memory, redis)
    await compare_states(memory, redis)
    await redis.close()
    # A generator that never reaches a case proves nothing about it.
    plans = {name.split()[1] for name in statuses if name.startswith("Plan")}
    assert plans >= {"0", "1", "3", "4", "5", "6"}, statuses
