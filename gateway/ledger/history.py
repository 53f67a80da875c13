"""Sequential reads of the ledger, row by row, for projections, rebuilds and verification."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, func, or_, select, tuple_

from gateway.ledger import schema as t
from gateway.ledger.hot import HotKey, HotRow
from gateway.ledger.reading import NO_ROW, Reading, halves_of, whole
from gateway.ledger.verify import BatchRow
from gateway.wire.records import StreamRecord


class History(Reading):
    """Queries over everything in the ledger, in the order of its rows."""

    async def lines(self, from_row: int, limit: int) -> list[StreamRecord]:
        """Return the records of rows [from_row, from_row + limit), in order."""
        row = t.records.c.row
        return await self.lines_where(and_(row >= from_row, row < from_row + limit))

    async def numbered(
        self, from_row: int, limit: int, kinds: Sequence[str], org: str = ""
    ) -> list[tuple[int, StreamRecord]]:
        """Return the records of these kinds (and this org) in the same rows, each with its row."""
        r = t.records.c
        span = and_(r.row >= from_row, r.row < from_row + limit, r.kind.in_(kinds))
        return await self.numbered_where(and_(span, r.org == org) if org else span)

    async def hot(self, shard: int, after: HotKey | None, limit: int) -> list[HotRow]:
        """Return the saved hot state of a shard after a key, at most `limit` rows in key order."""
        h = t.hot.c
        key = (h.kind, h.org, h.name)
        query = select(t.hot).where(h.shard == shard)
        if after is not None:
            query = query.where(tuple_(*key) > tuple_(*after[1:]))
        return [HotRow(*row) for row in await self._all(query.order_by(*key).limit(limit))]

    async def kept(
        self, shards: Sequence[int], since: tuple[int, int], from_row: int, limit: int
    ) -> tuple[list[StreamRecord], int]:
        """Return records that have a stored result, and the row to continue from (-1: at the end).

        `since` has the first rows whose results may still be stored: for calls about requests, and
        for grants, voids, adjustments and events.
        """
        r = t.records.c
        admin = r.kind.in_(("grant", "void", "adjust", "event"))
        rows = or_(r.row >= since[0], and_(admin, r.row >= since[1]))
        found = await self._all(
            select(r.row).where(rows, r.row >= from_row).order_by(r.row).limit(limit)
        )
        if not found:
            return [], -1
        span = and_(r.row >= found[0][0], r.row <= found[-1][0])
        lines = await self.lines_where(and_(span, rows, r.kept != b"", r.shard.in_(shards)))
        return lines, found[-1][0] + 1

    async def latest_ms(self) -> int:
        """Return the newest record's time by the store's clock (Unix ms); 0 without any."""
        return int((await self._all(select(func.max(t.batches.c.at_ms))))[0][0] or 0)

    async def row_at(self, at_ms: int) -> int:
        """Return the first row of the first batch that reaches `at_ms` by the store's clock.

        Returns NO_ROW, which is above all rows, if no batch does.
        """
        b = t.batches.c
        query = select(func.coalesce(func.min(b.first_row), NO_ROW)).where(b.at_ms >= at_ms)
        return int((await self._all(query))[0][0])

    async def time_before(self, row: int) -> int:
        """Return the largest time in the batches that end before a row (Unix ms); 0 without any.

        No record from that row on is much older than this.
        """
        b = t.batches.c
        query = select(func.coalesce(func.max(b.at_ms), 0)).where(b.first_row + b.rows <= row)
        return int((await self._all(query))[0][0])

    async def batches(self, after: int, limit: int) -> list[BatchRow]:
        """Return at most `limit` batches with a number greater than `after`, in order."""
        query = select(t.batches).where(t.batches.c.n > after).order_by(t.batches.c.n)
        return [BatchRow(*row) for row in await self._all(query.limit(limit))]

    async def pruned_before_day(self) -> int:
        """Return the day after the last pruned one, counted since 1970; 0 if none was pruned."""
        return int((await self._all(select(func.max(t.pruned.c.day))))[0][0] or -1) + 1

    async def pruned_rows(self) -> int:
        """Count the records that were pruned."""
        return int((await self._all(select(func.sum(t.pruned.c.rows))))[0][0] or 0)

    async def wrong_totals(self) -> list[tuple[str, str, str, str]]:
        """Find accounts whose totals differ from their postings: (book, kind, ref, currency)."""
        a, p = t.accounts.c, t.postings.c
        sums: dict[int, list[int]] = {}
        for side, column in enumerate((p.debit, p.credit)):
            query = select(column, *halves_of(p.amount_micros)).group_by(column)
            for number, high, low in await self._all(query):
                sums.setdefault(number, [0, 0])[side] = whole(high, low)
        query = select(
            *(a.id, a.book, a.kind, a.ref, a.currency),
            *(a.debits_high, a.debits_low, a.credits_high, a.credits_low),
        ).order_by(a.id)
        return [
            (book, kind, ref, currency)
            for number, book, kind, ref, currency, *n in await self._all(query)
            if [whole(*n[:2]), whole(*n[2:])] != sums.get(number, [0, 0])
        ]
