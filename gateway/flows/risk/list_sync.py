"""Apply the catalog's list changes to the store, in their order."""

from __future__ import annotations

from gateway.catalog.lists import Lists
from gateway.store.port import Store

AT_A_TIME = 500


async def follow(lists: Lists, store: Store) -> None:
    """Apply to the store what changed in the catalog since it last did. Raises Unavailable.

    Any worker does it for all; doing it twice does no harm.
    """
    if await store.followed() > await lists.last():
        # The catalog is an older one than the store followed: from the beginning.
        await store.forget_lists()
    while entries := await lists.changes_after(await store.followed(), AT_A_TIME):
        await store.follow(entries)
