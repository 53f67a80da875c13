"""Apply the catalog's list changes to the store, in their order."""

from __future__ import annotations

from gateway.catalog.lists import Lists
from gateway.store.port import Store

AT_A_TIME = 500


async def follow(lists: Lists, store: Store) -> None:
    """Let the store take over what changed since it last did. Raises Unavailable.

    Whoever does it does it for all; twice at once does no harm.
    """
    if await store.followed() > await lists.last():
        # The catalog is an older one than the store followed: from the beginning.
        await store.forget_lists()
    while entries := await lists.behind(await store.followed(), AT_A_TIME):
        await store.follow(entries)
