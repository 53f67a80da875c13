"""What decisions turned out to be: labels, only ever added; the latest one of a decision holds."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from gateway.catalog import schema as t
from gateway.catalog.tables import Tables

AT_A_TIME = 5_000


class Label(Struct, frozen=True):
    """`label` is fraud or good; it was observed, and later told to us (Unix ms).

    `once` names the call that told it, or the review that ended with it, if either can come again;
    `digest` is such a call's body.
    """

    decision: str
    label: str
    observed_ms: int
    recorded_ms: int
    author: str
    once: str | None = None
    digest: str | None = None
    note: str = ""


_COLUMNS = tuple(t.labels.c[name] for name in Label.__struct_fields__)


class Labels(Tables):
    """Labels in the catalog."""

    async def add(self, made: Label) -> Label:
        """Keep a label. What was kept by the same call before is returned instead."""
        try:
            async with self._write() as c:
                await c.execute(insert(t.labels).values(**asdict(made)))
        except IntegrityError:
            async with self._read() as c:
                query = select(*_COLUMNS).where(t.labels.c.once == made.once)
                return Label(*(await c.execute(query)).one())
        return made

    async def told(self, decision: str) -> list[Label]:
        """All labels of a decision, in the order they came."""
        query = select(*_COLUMNS).where(t.labels.c.decision == decision).order_by(t.labels.c.n)
        async with self._read() as c:
            return [Label(*row) for row in await c.execute(query)]

    async def frauds(self, after_ms: int) -> dict[str, tuple[int, int]]:
        """Decisions that were told to be fraud: when, and when that was taken back (0: never).

        Of labels that were told from a moment on (Unix ms).
        """
        c, found = t.labels.c, dict[str, tuple[int, int]]()
        query = select(c.decision, c.label, c.recorded_ms).where(c.recorded_ms >= after_ms)
        async with self._read() as connection:
            rows = (await connection.execute(query.order_by(c.n))).all()
        for row in rows:
            told_ms, cleared_ms = found.get(row.decision, (0, 0))
            if row.label == "fraud" and (not told_ms or cleared_ms):
                found[row.decision] = row.recorded_ms, 0
            elif row.label == "good" and told_ms and not cleared_ms:
                found[row.decision] = told_ms, row.recorded_ms
        return found

    async def of(self, decisions: Sequence[str], before_ms: int = 0) -> dict[str, str]:
        """What holds of these decisions; nothing of those without a label.

        With a moment (Unix ms): what held by what had been told before it.
        """
        c, found = t.labels.c, {}
        query = select(c.decision, c.label).order_by(c.n)
        if before_ms:
            query = query.where(c.recorded_ms < before_ms)
        for at in range(0, len(decisions), AT_A_TIME):
            of = query.where(c.decision.in_(decisions[at : at + AT_A_TIME]))
            async with self._read() as connection:
                rows = (await connection.execute(of)).all()
            found.update({row.decision: row.label for row in rows})
        return found
