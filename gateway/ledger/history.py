"""The ledger as those read it who build or verify something from it: row by row, in order."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, func, or_, select, tuple_

from gateway.ledger import schema as t
from gateway.ledger.hot import HotKey, HotRow
from gateway.ledger.reading import NO_ROW, Reading, halves_of, whole
from gateway.ledger.verify import BatchRow
from gateway.wire.records import StreamRecord


class History(Reading):
    """Everything that was ever written, in its order."""

    async def lines(self, from_row: int, limit: int) -> list[StreamRecord]:
        """The records from a row on, in their order."""
        row = t.records.c.row
        return await self.lines_where(and_(row >= from_row, row < from_row + limit))

    async def numbered(
        self, from_row: int, limit: int, kinds: Sequence[str], org: str = ""
    ) -> list[tuple[int, StreamRecord]]:
        """Those of some kinds (and of one org) among the same, each with the number of its row."""
        r = t.records.c
        span = and_(r.row >= from_row, r.row < from_row + limit, r.kind.in_(kinds))
        return await self.numbered_where(and_(span, r.org == org) if org else span)

    async def hot(self, shard: int, after: HotKey | None, limit: int) -> list[HotRow]:
        """Rows of the saved hot state of a shard behind a key, in the order of their keys."""
        h = t.hot.c
        key = (h.kind, h.org, h.name)
        query = select(t.hot).where(h.shard == shard)
        if after is not None:
            query = query.where(tuple_(*key) > tuple_(*after[1:]))
        return [HotRow(*row) for row in await self._all(query.order_by(*key).limit(limit))]

    async def kept(
        self, shards: Sequence[int], since: tuple[int, int], from_row: int, limit: int
    ) -> tuple[list[StreamRecord], int]:
        """Records from a row on that keep an outcome, and the row to go on from (-1: no more).

        `since`: the rows from which on calls about requests, and moves of funds, may be kept.
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
        """When the newest record was made, by the store's clock; 0 without any."""
        return int((await self._all(select(func.max(t.batches.c.at_ms))))[0][0] or 0)

    async def row_at(self, at_ms: int) -> int:
        """The first row of the first batch that reaches to a moment of the store's clock."""
        b = t.batches.c
        query = select(func.coalesce(func.min(b.first_row), NO_ROW)).where(b.at_ms >= at_ms)
        return int((await self._all(query))[0][0])

    async def moment_before(self, row: int) -> int:
        """A moment (Unix ms) that no record from a row on is much older than; 0 without any."""
        b = t.batches.c
        query = select(func.coalesce(func.max(b.at_ms), 0)).where(b.first_row + b.rows <= row)
        return int((await self._all(query))[0][0])

    async def batches(self, after: int, limit: int) -> list[BatchRow]:
        """Batches behind a number, in their order."""
        query = select(t.batches).where(t.batches.c.n > after).order_by(t.batches.c.n)
        return [BatchRow(*row) for row in await self._all(query.limit(limit))]

    async def pruned_before_day(self) -> int:
        """The first day whose records were never pruned, as far as any were; 0 when none were."""
        return int((await self._all(select(func.max(t.pruned.c.day))))[0][0] or -1) + 1

    async def pruned_rows(self) -> int:
        """How many records were pruned."""
        return int((await self._all(select(func.sum(t.pruned.c.rows))))[0][0] or 0)

    async def wrong_totals(self) -> list[tuple[str, str, str, str]]:
        """Accounts whose totals are not the sums of their postings: book, kind, ref, currency."""
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
