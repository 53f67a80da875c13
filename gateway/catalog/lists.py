"""Items of lists, by digest, as a numbered log that the store replays.

Changes take consecutive numbers and commit in that order. A reader that has replayed up to a number
therefore has every change before it. A removed item remains as a row with `is_gone` until it is
pruned, so that the store sees the removal.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct, json
from msgspec.structs import asdict
from sqlalchemy import delete, func, insert, select, tuple_, update

from gateway.catalog import schema as t
from gateway.catalog.audit import append
from gateway.catalog.tables import Tables
from gateway.core.audit import AuditEntry
from gateway.core.velocity import Entry, entry_name


class Item(Struct, frozen=True):
    """An item of a list, on it from `at_ms` until `expires_ms` (Unix ms; 0: without end)."""

    list: str
    digest: str
    expires_ms: int
    note: str
    author: str
    at_ms: int
    is_gone: bool = False


_ITEM = tuple(t.list_items.c[name] for name in Item.__struct_fields__)


class Lists(Tables):
    """Table of list items."""

    async def last(self) -> int:
        """Return the number of the latest change of any item; 0 without any."""
        async with self._read() as c:
            return int((await c.execute(select(t.list_state.c.n))).scalar_one())

    async def count(self, name: str, among: Sequence[str] | None = None) -> int:
        """Count a list's items, or only those `among` these digests. Expired items count."""
        of = t.list_items.c
        query = select(func.count()).select_from(t.list_items)
        query = query.where(of.list == name, of.is_gone.is_(False))
        if among is not None:
            query = query.where(of.digest.in_(among))
        async with self._read() as c:
            return int(await c.scalar(query) or 0)

    async def counts(self, now_ms: int) -> dict[str, int]:
        """Count the unexpired items of each list at `now_ms` (Unix ms), by name."""
        of = t.list_items.c
        lives = (of.expires_ms == 0) | (of.expires_ms > now_ms)
        query = select(of.list, func.count()).where(of.is_gone.is_(False), lives)
        async with self._read() as c:
            rows = await c.execute(query.group_by(of.list).order_by(of.list))
            return {name: int(n) for name, n in rows}

    async def find(self, name: str, digest: str) -> Item | None:
        """Return an item of a list, or None if it was never added or was removed."""
        of = t.list_items.c
        query = select(*_ITEM).where(of.list == name, of.digest == digest, of.is_gone.is_(False))
        async with self._read() as c:
            found = (await c.execute(query)).first()
        return Item(*found) if found is not None else None

    async def keep(self, made: Sequence[Item]) -> None:
        """Store items; each replaces the item of the same list and digest."""
        latest = {(item.list, item.digest): item for item in made}
        of, state = t.list_items.c, t.list_state
        raised = update(state).values(n=state.c.n + len(latest)).returning(state.c.n)
        async with self._write() as c:
            # The number first: it locks the row, so other changes wait until this one commits.
            last = (await c.execute(raised)).scalar_one()
            await c.execute(delete(t.list_items).where(tuple_(of.list, of.digest).in_(latest)))
            rows = [
                {**asdict(item), "n": n}
                for n, item in enumerate(latest.values(), last - len(latest) + 1)
            ]
            await c.execute(insert(t.list_items), rows)
            await append(c, _entry(list(latest.values())))

    async def changes_after(self, n: int, limit: int) -> list[Entry]:
        """Return at most `limit` changes with a number greater than `n`, in order."""
        of = t.list_items.c
        columns = (of.list, of.digest, of.n, of.expires_ms, of.is_gone)
        query = select(*columns).where(of.n > n).order_by(of.n).limit(limit)
        async with self._read() as c:
            return [Entry(*row) for row in await c.execute(query)]

    async def current(self, lists: Collection[str], now_ms: int) -> set[str]:
        """Return the entry names of all unexpired items of these lists at `now_ms` (Unix ms)."""
        of = t.list_items.c
        lives = (of.expires_ms == 0) | (of.expires_ms > now_ms)
        query = select(of.list, of.digest).where(of.list.in_(lists), of.is_gone.is_(False), lives)
        async with self._read() as c:
            return {entry_name(*row) for row in await c.execute(query)}

    async def prune(self, before_ms: int) -> int:
        """Delete items removed or expired before `before_ms` (Unix ms); return how many."""
        of = t.list_items.c
        ended = (of.is_gone & (of.at_ms < before_ms)) | (
            (of.expires_ms > 0) & (of.expires_ms < before_ms)
        )
        async with self._write() as c:
            # The same row first as in `keep`: in another order the two could wait for each other.
            await c.execute(update(t.list_state).values(n=t.list_state.c.n))
            found = await c.execute(delete(t.list_items).where(ended))
        return int(found.rowcount)


def _entry(items: Sequence[Item]) -> AuditEntry:
    """Describe one call that puts items on a list or removes them; values are keyed hashes."""
    first = items[0]
    shown = [{"item": i.digest, "expires_ms": i.expires_ms, "note": i.note} for i in items]
    action = "remove" if first.is_gone else "put"
    who = (first.at_ms, "", first.author)
    return AuditEntry(*who, action, "list", first.list, after=json.encode({"items": shown}))
