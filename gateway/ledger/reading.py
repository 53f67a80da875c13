"""Queries on a ledger that all its readers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import aliased

from gateway.core.postings import Account, Posting
from gateway.errors import Unavailable
from gateway.ledger import schema as t
from gateway.ledger.batch import ChargeRow, Head, PostingRow, RecordRow, Stored
from gateway.ledger.totals import HALF
from gateway.wire.records import StreamRecord

NO_ROW = 2**62


def halves_of(column: Any) -> tuple[Any, Any]:
    """Build SQL for a sum in two halves: a sum of all may exceed one SQL integer (64 bits)."""
    return func.sum(column // HALF), func.sum(column % HALF)


def whole(high: int | None, low: int | None) -> int:
    """Join a sum from its halves."""
    return int(high or 0) * HALF + int(low or 0)


class Reading:
    """Queries on a ledger, the same for every database.

    Every method raises Unavailable if the ledger does not answer.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def _all(self, query: Any) -> list[Any]:
        try:
            async with self._engine.connect() as c:
                return list((await c.execute(query)).all())
        except (DBAPIError, OSError) as error:
            if isinstance(error, IntegrityError | ProgrammingError | DataError):
                raise
            raise Unavailable("ledger_unavailable", "the ledger does not answer") from error

    async def head(self) -> Head:
        """Return the end of the chain."""
        b = t.batches.c
        query = select(b.n, b.hash, b.first_row + b.rows).order_by(b.n.desc()).limit(1)
        found = await self._all(query)
        return Head(int(found[0][0]), bytes(found[0][1]), int(found[0][2])) if found else Head()

    async def lines_where(self, where: Any) -> list[StreamRecord]:
        """Return records as the store recorded them, in the order of their rows."""
        return [line for _, line in await self.numbered_where(where)]

    async def numbered_where(self, where: Any) -> list[tuple[int, StreamRecord]]:
        """Return the same records, each with the number of its row."""
        r, terms = t.records.c, t.terms.c
        same = and_(terms.day == r.day, terms.id == r.terms)
        columns = (r.row, r.shard, r.epoch, r.seq, r.kind, r.out, r.body, terms.body, r.kept)
        query = select(*columns).select_from(t.records.outerjoin(t.terms, same)).where(where)
        return [
            (row, StreamRecord(shard, epoch, seq, kind, out, body, packed or b"", kept))
            for row, shard, epoch, seq, kind, out, body, packed, kept in await self._all(
                query.order_by(r.row)
            )
        ]

    async def stored(self, rows: Sequence[int]) -> list[Stored]:
        """Return the stored record, charge and postings of each of these rows."""
        records = {r.row: r for r in await self._records(rows)}
        query = select(t.charges).where(_among(t.charges.c.row, rows))
        charges = {row[0]: ChargeRow(*row) for row in await self._all(query)}
        postings: dict[int, list[PostingRow]] = {}
        for posting in await self._postings(rows):
            postings.setdefault(posting.row, []).append(posting)
        return [Stored(records.get(n), charges.get(n), tuple(postings.get(n, ()))) for n in rows]

    async def _records(self, rows: Sequence[int]) -> list[RecordRow]:
        r, terms = t.records.c, t.terms.c
        same = and_(terms.day == r.day, terms.id == r.terms)
        columns = [terms.body if column.name == "terms" else column for column in r]
        query = select(*columns).select_from(t.records.outerjoin(t.terms, same))
        found = await self._all(query.where(_among(r.row, rows)))
        place = [column.name for column in r].index("terms")
        full = ((*row[:place], row[place] or b"", *row[place + 1 :]) for row in found)
        return [RecordRow(*values) for values in full]

    async def _postings(self, rows: Sequence[int]) -> list[PostingRow]:
        p, debit, credit = t.postings.c, aliased(t.accounts), aliased(t.accounts)
        sides = [
            column
            for side in (debit, credit)
            for column in (side.c.book, side.c.kind, side.c.ref, side.c.currency)
        ]
        joined = t.postings.join(debit, debit.c.id == p.debit)
        joined = joined.join(credit, credit.c.id == p.credit)
        query = select(p.row, p.n, p.shard, p.epoch, p.seq, p.amount_micros, *sides)
        query = query.select_from(joined).where(_among(p.row, rows))
        found = []
        for *at, amount, b1, k1, r1, c1, b2, k2, r2, c2 in await self._all(
            query.order_by(p.row, p.n)
        ):
            posting = Posting(Account(b1, k1, r1, c1), Account(b2, k2, r2, c2), amount)
            row, n, shard, epoch, seq = at
            found.append(PostingRow(row, n, shard, epoch, seq, posting))
        return found


def _among(row: Any, rows: Sequence[int]) -> Any:
    return row.between(rows[0], rows[-1]) if isinstance(rows, range) else row.in_(rows)
