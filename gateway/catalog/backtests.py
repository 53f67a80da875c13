"""Backtests, whichever worker runs them: how far they are, and what came of them."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import delete, func, insert, select, update

from gateway.catalog import schema as t
from gateway.catalog.tables import Tables

RUNNING, DONE, CANCELLED, FAILED = "running", "done", "cancelled", "failed"


class Run(Struct, frozen=True):
    """A backtest: rows looked at of how many, its result, and when it was last seen (Unix ms)."""

    id: str
    ruleset: str
    author: str
    state: str
    looked_at: int
    rows: int
    seen_ms: int
    result: bytes = b""


class Backtests(Tables):
    """Backtests in the catalog."""

    async def begin(self, run: Run) -> None:
        """A backtest begins."""
        async with self._write() as c:
            await c.execute(insert(t.backtests).values(**asdict(run)))

    async def find(self, name: str) -> Run | None:
        """A backtest, or None."""
        async with self._read() as c:
            found = (await c.execute(select(t.backtests).where(t.backtests.c.id == name))).first()
        return Run(*found) if found is not None else None

    async def running(self, since_ms: int) -> int:
        """How many run, by what was seen of them since a moment."""
        of = t.backtests.c
        query = select(func.count()).where(of.state == RUNNING, of.seen_ms >= since_ms)
        async with self._read() as c:
            return int((await c.execute(query)).scalar() or 0)

    async def note(self, run: Run) -> bool:
        """Note how far a running one is, or its end; False when it does not run any more."""
        of = t.backtests.c
        query = update(t.backtests).where(of.id == run.id, of.state == RUNNING)
        async with self._write() as c:
            return bool((await c.execute(query.values(**asdict(run)))).rowcount)

    async def cancel(self, name: str) -> None:
        """Let a running one end."""
        of = t.backtests.c
        query = update(t.backtests).where(of.id == name, of.state == RUNNING)
        async with self._write() as c:
            await c.execute(query.values(state=CANCELLED))

    async def prune(self, before_ms: int) -> None:
        """Forget those that nothing was seen of since a moment."""
        async with self._write() as c:
            await c.execute(delete(t.backtests).where(t.backtests.c.seen_ms < before_ms))
