"""Lists in the catalog, in each database: a gapless log that stores follow, whoever writes it."""

from __future__ import annotations

import asyncio

from gateway.catalog.lists import Item, Lists
from gateway.core.velocity import Entry
from gateway.flows.risk.list_sync import follow
from gateway.sql.engine import Engine
from gateway.store.memory import MemoryStore

NOW_MS = 1_800_000_000_000


def item(digest: str, at_ms: int = NOW_MS, *, gone: bool = False, expires_ms: int = 0) -> Item:
    return Item("bad", digest, expires_ms, "why", "cred_1", at_ms, gone)


def standing(store: MemoryStore) -> set[str]:
    names = {name for _, name in store.shared.alive(NOW_MS)}
    return {name.removeprefix("l/bad/") for name in names if name.startswith("l/bad/")}


async def test_many_writers_leave_one_log_without_gaps(engine: Engine) -> None:
    lists, store = Lists(engine), MemoryStore(lambda: NOW_MS)

    async def put(n: int) -> None:
        await lists.keep([item(f"d{n % 3}"), item(f"own{n}")])
        await follow(lists, store)

    await asyncio.gather(*(put(n) for n in range(8)))
    found = await lists.changes_after(0, 100)
    numbers = [entry.n for entry in found]
    assert numbers == sorted(numbers) and await lists.last() == numbers[-1] == 16
    assert standing(store) == {f"d{n}" for n in range(3)} | {f"own{n}" for n in range(8)}
    assert await store.followed() == 16


async def test_the_last_word_about_an_item_holds(engine: Engine) -> None:
    lists, store = Lists(engine), MemoryStore(lambda: NOW_MS)
    await lists.keep([item("a"), item("b"), item("a", gone=True)])
    await lists.keep([item("b", expires_ms=NOW_MS + 5)])
    await follow(lists, store)
    assert standing(store) == {"b"}
    assert await lists.find("bad", "a") is None
    assert await lists.find("bad", "b") == item("b", expires_ms=NOW_MS + 5)


async def test_who_is_late_undoes_nothing(engine: Engine) -> None:
    lists, store = Lists(engine), MemoryStore(lambda: NOW_MS)
    await lists.keep([item("a")])
    seen = await lists.changes_after(0, 10)
    await lists.keep([item("a", gone=True)])
    await follow(lists, store)
    await store.follow(seen)
    assert standing(store) == set()


async def test_a_store_that_followed_another_catalog_begins_anew(engine: Engine) -> None:
    lists, store = Lists(engine), MemoryStore(lambda: NOW_MS)
    await store.follow([Entry("bad", "gone", n, 0, is_gone=False) for n in range(1, 9)])
    await lists.keep([item("a")])
    await follow(lists, store)
    assert (standing(store), await store.followed()) == ({"a"}, 1)


async def test_two_that_put_and_remove_one_item_leave_the_store_as_the_catalog(
    engine: Engine,
) -> None:
    lists, store = Lists(engine), MemoryStore(lambda: NOW_MS)

    async def change(n: int) -> None:
        await lists.keep([item("a", gone=n % 2 == 0)])
        await follow(lists, store)

    for _ in range(6):
        await asyncio.gather(*(change(n) for n in range(4)))
        assert (standing(store) == {"a"}) == (await lists.find("bad", "a") is not None)


async def test_what_ended_long_ago_is_forgotten_and_the_last_number_is_not(
    engine: Engine,
) -> None:
    lists, old_ms = Lists(engine), NOW_MS - 10
    await lists.keep(
        [item("a", old_ms, gone=True), item("b", old_ms, expires_ms=old_ms), item("c")]
    )
    await lists.keep([item("d", old_ms, gone=True)])
    assert await lists.prune(NOW_MS) == 3
    assert await lists.last() == 4
    assert [entry.digest for entry in await lists.changes_after(0, 10)] == ["c"]
