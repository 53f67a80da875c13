"""Labels of decisions (fraud or good): only ever added; a decision's latest label holds."""

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
    """One label, fraud or good: when it was observed and when it was recorded (Unix ms).

    `once` names the call that reported it, or the review that ended with it, if either can be
    repeated; `digest` is that call's body digest.
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
    """Table of labels."""

    async def add(self, made: Label) -> Label:
        """Store a label and return it; a repeated call returns the label that it stored before."""
        try:
            async with self._write() as c:
                await c.execute(insert(t.labels).values(**asdict(made)))
        except IntegrityError:
            async with self._read() as c:
                query = select(*_COLUMNS).where(t.labels.c.once == made.once)
                return Label(*(await c.execute(query)).one())
        return made

    async def of_decision(self, decision: str) -> list[Label]:
        """Return all labels of a decision, in the order in which they were recorded."""
        query = select(*_COLUMNS).where(t.labels.c.decision == decision).order_by(t.labels.c.n)
        async with self._read() as c:
            return [Label(*row) for row in await c.execute(query)]

    async def page(self, decision: str, before: int, limit: int) -> list[tuple[int, Label]]:
        """Return the newest labels before a number, of a decision or of all ("")."""
        query = select(t.labels.c.n, *_COLUMNS).order_by(t.labels.c.n.desc()).limit(limit)
        if before:
            query = query.where(t.labels.c.n < before)
        if decision:
            query = query.where(t.labels.c.decision == decision)
        async with self._read() as c:
            return [(n, Label(*row)) for n, *row in await c.execute(query)]

    async def frauds(self, after_ms: int) -> dict[str, tuple[int, int]]:
        """Return decisions reported as fraud: when, and when they were cleared (Unix ms; 0: never).

        Only labels recorded at or after `after_ms` (Unix ms) are read.
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
        """Return the latest label of each decision that has one.

        With `before_ms` (Unix ms), only labels recorded before that time count; 0 reads all.
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
