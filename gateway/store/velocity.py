"""Velocity counters and lists in Redis, kept up to date beside the requests that read them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

from gateway.core import names
from gateway.core.velocity import MARK, Entry, Past, entry_name
from gateway.store import keys
from gateway.store.codec import pack, past_spec
from gateway.store.functions import Functions

WARMED_AT_ONCE = 300
"""Buckets and members in one call: others wait for it."""
WARM_PAUSE_S = 0.005
"""Seconds between two calls."""
SCANNED_AT_ONCE = 1_000


class RedisVelocity:
    """The part of the Redis store that no request calls."""

    _functions: Functions

    async def backfill(self, past: Sequence[Past]) -> None:
        """Backfill velocity counters with what happened before they counted; raises Unavailable."""
        some: list[Past] = []
        size = 0
        for one in past:
            some.append(one)
            size += 1 + len(one.buckets) + len(one.members)
            if size >= WARMED_AT_ONCE:
                await self._backfill_command(some)
                some, size = [], 0
                # The backfill is in no hurry; the requests that are decided meanwhile are.
                await asyncio.sleep(WARM_PAUSE_S)
        if some:
            await self._backfill_command(some)

    async def _backfill_command(self, some: Sequence[Past]) -> None:
        of = [keys.velocity(keys.shard_of(p.tally.org), p.tally.org, p.tally.name) for p in some]
        await self._functions.call("warm", of, (pack([past_spec(one) for one in some]),))

    async def listed(self, entries: Collection[str]) -> set[str]:
        """Return those of these list items that are on their list; raises Unavailable."""
        if not entries:
            return set()
        of = [keys.velocity(0, "", name) for name in entries]
        values = await self._functions.run(("MGET", *of))
        return {name for name, value in zip(entries, values, strict=True) if value is not None}

    async def lease(self, name: str, holder: str, for_ms: int) -> bool:
        """Take, or prolong, a lease on what one process does for all, for `for_ms`.

        Returns whether the holder has it.
        """
        key = keys.velocity(0, "", names.join("lease", name))
        return bool(await self._functions.call("lock", [key], (holder, for_ms)))

    async def followed(self) -> int:
        """Return the number of the last list change that was applied; 0 for none."""
        return int(await self._functions.run(("GET", keys.velocity(0, "", MARK))) or 0)

    async def forget_lists(self) -> None:
        """Delete all lists, and the number of the last list change; raises Unavailable."""
        await self._functions.run(("DEL", keys.velocity(0, "", MARK)))
        cursor, pattern = b"0", "{e*}/" + entry_name("*", "*")
        while True:
            command = ("SCAN", cursor, "MATCH", pattern, "COUNT", SCANNED_AT_ONCE)
            cursor, found = await self._functions.run(command)
            if found:
                await self._functions.run(("UNLINK", *found))
            if cursor == b"0":
                return

    async def follow(self, entries: Sequence[Entry]) -> int:
        """Apply list changes; return the number of the last one.

        Raises Unavailable.
        """
        of = [keys.velocity(0, "", name) for name in (MARK, *(entry.name for entry in entries))]
        told = pack([(entry.n, entry.expires_ms, entry.is_gone) for entry in entries])
        return int(await self._functions.call("follow", of, (told,)))
