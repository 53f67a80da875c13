"""Backtest jobs of all workers: their progress and their results."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import delete, func, insert, select, update

from gateway.catalog import schema as t
from gateway.catalog.tables import Tables

RUNNING, DONE, CANCELLED, FAILED = "running", "done", "cancelled", "failed"


class Run(Struct, frozen=True):
    """A backtest job: `looked_at` of `rows` are done; `seen_ms` is its last report (Unix ms)."""

    id: str
    ruleset: str
    author: str
    state: str
    looked_at: int
    rows: int
    seen_ms: int
    result: bytes = b""


class Backtests(Tables):
    """Table of backtest jobs."""

    async def begin(self, run: Run) -> None:
        """Insert a new backtest."""
        async with self._write() as c:
            await c.execute(insert(t.backtests).values(**asdict(run)))

    async def find(self, name: str) -> Run | None:
        """Return a backtest by id, or None."""
        async with self._read() as c:
            found = (await c.execute(select(t.backtests).where(t.backtests.c.id == name))).first()
        return Run(*found) if found is not None else None

    async def listed(self, after: str, limit: int) -> list[Run]:
        """Return backtests with an id after `after`, in the order of their ids."""
        b = t.backtests.c
        query = select(t.backtests).where(b.id > after).order_by(b.id).limit(limit)
        async with self._read() as c:
            return [Run(*row) for row in await c.execute(query)]

    async def running(self, since_ms: int) -> int:
        """Count the running backtests that reported at or after `since_ms` (Unix ms)."""
        of = t.backtests.c
        query = select(func.count()).where(of.state == RUNNING, of.seen_ms >= since_ms)
        async with self._read() as c:
            return int((await c.execute(query)).scalar() or 0)

    async def note(self, run: Run) -> bool:
        """Store the progress or the end of a running backtest; False if it no longer runs."""
        of = t.backtests.c
        query = update(t.backtests).where(of.id == run.id, of.state == RUNNING)
        async with self._write() as c:
            return bool((await c.execute(query.values(**asdict(run)))).rowcount)

    async def cancel(self, name: str) -> None:
        """Mark a running backtest as cancelled; its worker stops at its next report."""
        of = t.backtests.c
        query = update(t.backtests).where(of.id == name, of.state == RUNNING)
        async with self._write() as c:
            await c.execute(query.values(state=CANCELLED))

    async def prune(self, before_ms: int) -> None:
        """Delete the backtests whose last report is older than `before_ms` (Unix ms)."""
        async with self._write() as c:
            await c.execute(delete(t.backtests).where(t.backtests.c.seen_ms < before_ms))
