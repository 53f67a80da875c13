"""Lists: what stands on them, by digest, as a log that the store follows.

Each change of an item takes the next number, and commits in that order. Whoever has followed up to
a number has everything before it; an item that went stays as a row that says so until it is pruned.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import delete, func, insert, select, tuple_
from sqlalchemy.exc import IntegrityError

from gateway.catalog import schema as t
from gateway.catalog.tables import Tables
from gateway.core.tallies import Entry
from gateway.errors import Unavailable

ATTEMPTS = 20


class Item(Struct, frozen=True):
    """What stands on a list since a moment (Unix ms), until `expires_ms` (0: for good)."""

    list: str
    digest: str
    expires_ms: int
    note: str
    author: str
    at_ms: int
    is_gone: bool = False


_ITEM = tuple(t.list_items.c[name] for name in Item.__struct_fields__)


class Lists(Tables):
    """Lists in the catalog."""

    async def last(self) -> int:
        """The number of the latest change of any item; 0 without any."""
        async with self._read() as c:
            return int((await c.execute(select(func.max(t.list_items.c.n)))).scalar() or 0)

    async def find(self, name: str, digest: str) -> Item | None:
        """An item, or None where none was ever put, or it was removed."""
        of = t.list_items.c
        query = select(*_ITEM).where(of.list == name, of.digest == digest, of.is_gone.is_(False))
        async with self._read() as c:
            found = (await c.execute(query)).first()
        return Item(*found) if found is not None else None

    async def keep(self, made: Sequence[Item]) -> None:
        """Put items in the place of those of the same list and digest. Raises Unavailable."""
        # In one order for all: so no two wait for each other.
        latest = dict(sorted({(item.list, item.digest): item for item in made}.items()))
        of = t.list_items.c
        for _ in range(ATTEMPTS):
            first = await self.last() + 1
            rows = [{**asdict(item), "n": n} for n, item in enumerate(latest.values(), first)]
            try:
                async with self._write() as c:
                    same = tuple_(of.list, of.digest).in_(list(latest))
                    await c.execute(delete(t.list_items).where(same))
                    await c.execute(insert(t.list_items), rows)
            except IntegrityError:
                # Somebody else took the number, or put the same item.
                continue
            return
        raise Unavailable("too_many_changes", "others are changing lists; try again")

    async def behind(self, n: int, limit: int) -> list[Entry]:
        """Changes of items behind a number, in their order."""
        of = t.list_items.c
        columns = (of.list, of.digest, of.n, of.expires_ms, of.is_gone)
        query = select(*columns).where(of.n > n).order_by(of.n).limit(limit)
        async with self._read() as c:
            return [Entry(*row) for row in await c.execute(query)]

    async def prune(self, before_ms: int) -> int:
        """Forget items that went or expired before a moment; how many."""
        of = t.list_items.c
        last = await self.last()
        ended = (of.is_gone & (of.at_ms < before_ms)) | (
            (of.expires_ms > 0) & (of.expires_ms < before_ms)
        )
        async with self._write() as c:
            # The latest stays: the next number follows from it.
            found = await c.execute(delete(t.list_items).where(ended, of.n < last))
        return int(found.rowcount)
