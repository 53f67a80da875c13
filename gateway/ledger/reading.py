"""Asking a ledger: what all its readers share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, func, select
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.errors import Unavailable
from gateway.ledger import schema as t
from gateway.ledger.totals import HALF
from gateway.wire.records import StreamRecord

NO_ROW = 2**62


def halves_of(column: Any) -> tuple[Any, Any]:
    """A sum in two halves: together they may pass what one SQL integer holds."""
    return func.sum(column // HALF), func.sum(column % HALF)


def whole(high: int | None, low: int | None) -> int:
    """A sum from its halves."""
    return int(high or 0) * HALF + int(low or 0)


class Reading:
    """Queries on a ledger, the same for every database.

    Raises Unavailable when it does not answer.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def _all(self, query: Any) -> list[Any]:
        try:
            async with self._engine.connect() as c:
                return list((await c.execute(query)).all())
        except (OperationalError, InterfaceError, OSError) as error:
            raise Unavailable("ledger_unavailable", "the ledger does not answer") from error

    async def lines_where(self, where: Any) -> list[StreamRecord]:
        """Records as the store told them, in order."""
        r, terms = t.records.c, t.terms.c
        same = and_(terms.day == r.day, terms.id == r.terms)
        columns = (r.shard, r.epoch, r.seq, r.kind, r.out, r.body, terms.body, r.kept)
        query = select(*columns).select_from(t.records.outerjoin(t.terms, same)).where(where)
        return [
            StreamRecord(shard, epoch, seq, kind, out, body, packed or b"", kept)
            for shard, epoch, seq, kind, out, body, packed, kept in await self._all(
                query.order_by(r.row)
            )
        ]
