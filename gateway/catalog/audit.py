"""The audit log: who changed what, when, from what and to what. Rows are only ever added.

A row is written in the transaction of its change. Its hash covers the row and the hash before it,
so a row that is altered, removed or slipped in is found by reading the chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from msgspec import Struct, msgpack
from msgspec.structs import asdict, astuple
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.catalog import schema as t
from gateway.catalog.tables import Tables
from gateway.core.audit import AuditEntry, AuditRow

AT_A_TIME = 1_000
_pack = msgpack.Encoder().encode


class AuditQuery(Struct, frozen=True):
    """Filters of rows, "" and 0 for none; a page has rows with numbers below `before_n`."""

    org: str = ""
    actor: str = ""
    from_ms: int = 0
    to_ms: int = 0
    before_n: int = 0


def link(before: bytes, n: int, entry: AuditEntry) -> bytes:
    """Return the hash of row `n`, which follows a row with the hash `before`."""
    return sha256(_pack((before, n, *astuple(entry)))).digest()


async def append(c: AsyncConnection, entry: AuditEntry | None) -> None:
    """Add a row in a running transaction; None adds nothing.

    Raising the number locks the row of the state: changes commit in the order of their numbers.
    It is the last statement of its transaction, so that two changes cannot wait for each other.
    """
    if entry is None:
        return
    state = t.audit_state
    raised = update(state).values(n=state.c.n + 1).returning(state.c.n, state.c.hash)
    n, before = (await c.execute(raised)).one()
    hashed = link(bytes(before), n, entry)
    await c.execute(update(state).values(hash=hashed))
    await c.execute(insert(t.audit).values(n=n, hash=hashed, **asdict(entry)))


class Audit(Tables):
    """Table of the audit log. Every method raises Unavailable if SQL does not answer."""

    async def add(self, entry: AuditEntry) -> None:
        """Add the row of a change made elsewhere; one with a known `once` is there already."""
        try:
            async with self._write() as c:
                await append(c, entry)
        except IntegrityError:
            return

    async def page(self, query: AuditQuery, limit: int) -> list[AuditRow]:
        """Return at most `limit` rows that a query selects, the newest first."""
        a = t.audit.c
        found = select(t.audit).order_by(a.n.desc()).limit(limit)
        conditions: Sequence[tuple[Any, Any]] = (
            (query.org, a.org == query.org),
            (query.actor, a.actor == query.actor),
            (query.from_ms, a.at_ms >= query.from_ms),
            (query.to_ms, a.at_ms < query.to_ms),
            (query.before_n, a.n < query.before_n),
        )
        for is_wanted, condition in conditions:
            if is_wanted:
                found = found.where(condition)
        async with self._read() as c:
            return [_row(row) for row in await c.execute(found)]

    async def first_fault(self) -> str:
        """Read the whole chain and say where it breaks first; "" if it is intact.

        The end is read first: rows that are added meanwhile come after it.
        """
        async with self._read() as c:
            state = select(t.audit_state.c.n, t.audit_state.c.hash)
            last, last_hash = (await c.execute(state)).one()
        n, hashed = 0, b""
        while n < last:
            of = select(t.audit).where(t.audit.c.n > n, t.audit.c.n <= last)
            async with self._read() as c:
                found = await c.execute(of.order_by(t.audit.c.n).limit(AT_A_TIME))
                rows = [_row(row) for row in found]
            if not rows:
                return f"rows {n + 1} to {last} of the audit log are missing"
            for row in rows:
                if row.n != n + 1:
                    return f"row {n + 1} of the audit log is missing"
                if row.hash != link(hashed, row.n, row.entry):
                    return f"row {row.n} of the audit log was altered"
                n, hashed = row.n, row.hash
        return "" if hashed == bytes(last_hash) else "the end of the audit log was altered"


def _row(row: Any) -> AuditRow:
    values = {name: getattr(row, name) for name in AuditEntry.__struct_fields__}
    for name in ("before", "after"):
        # A row that was tampered with may hold text: it is read, and found by its hash.
        value = values[name]
        values[name] = value.encode() if isinstance(value, str) else bytes(value)
    return AuditRow(row.n, bytes(row.hash), AuditEntry(**values))
