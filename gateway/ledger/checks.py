"""Sums of a book's records and charges, to compare with its accounts.

The sums are stored up to a row and continue from there. A check therefore costs only the new rows,
and still covers records that were pruned since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, case, func, literal, select, text, union_all, update
from sqlalchemy.exc import InterfaceError, OperationalError

from gateway.errors import Unavailable
from gateway.ledger import schema as t
from gateway.ledger.reading import Reading, halves_of, whole
from gateway.ledger.totals import add, halves

SUMS = ("holds", "held_high", "held_low", "charged_high", "charged_low")
ADD_SUMS = (
    f"INSERT INTO checks VALUES (:book, {', '.join(':' + name for name in SUMS)})"  # noqa: S608  no input in it
    " ON CONFLICT (book) DO UPDATE SET holds = checks.holds + excluded.holds,"
    f" {add('held', 'excluded.held_high', 'excluded.held_low', 'checks')},"
    f" {add('charged', 'excluded.charged_high', 'excluded.charged_low', 'checks')}"
)


@dataclass(frozen=True)
class BookCheck:
    """Sums of a book from its records and charges, and the same from its accounts, in micros."""

    book: str
    holds: int
    """Number of holds ever made."""
    held_by_records: int
    held_by_postings: int
    charged: int
    revenue: int


class Checks(Reading):
    """Queries and stored sums of the decision log and the charges, by book."""

    async def books(self) -> list[BookCheck]:
        """Return the sums of every book, read in one statement and so at one point in time."""
        upto = select(t.check_state.c.row).scalar_subquery()
        k, a = t.checks.c, t.accounts.c
        kept = select(k.book, *(k[name] for name in SUMS))
        said = union_all(kept, *_since(upto, None)).subquery()
        posted = [
            select(func.sum(half))
            .where(a.book == said.c.book, a.kind == kind)
            .correlate(said)
            .scalar_subquery()
            for kind in ("held", "revenue")
            for half in (a.credits_high, a.credits_low)
        ]
        sums = (func.sum(said.c[name]) for name in SUMS)
        rows = await self._all(select(said.c.book, *sums, *posted).group_by(said.c.book))
        return [
            BookCheck(
                book, int(holds), whole(*n[:2]), whole(*n[4:6]), whole(*n[2:4]), whole(*n[6:8])
            )
            for book, holds, *n in rows
        ]

    async def advance(self, most_rows: int) -> int:
        """Add at most `most_rows` further rows to the stored sums; return how many were added.

        The sums are computed before the transaction that adds them, so that the writer does not
        wait for it. If another process added rows meanwhile, nothing is added. Raises Unavailable.
        """
        b = t.batches.c
        (first,) = (await self._all(select(t.check_state.c.row)))[0]
        (end,) = (await self._all(select(func.max(b.first_row + b.rows))))[0]
        last = min(int(end or 0), first + most_rows)
        if last <= first:
            return 0
        said = union_all(*_since(literal(first), literal(last))).subquery()
        sums = (func.sum(said.c[name]).label(name) for name in SUMS)
        rows = await self._all(select(said.c.book, *sums).group_by(said.c.book))
        return last - first if await self._move(first, last, rows) else 0

    async def _move(self, first: int, last: int, rows: Sequence[Any]) -> bool:
        moved = update(t.check_state).where(t.check_state.c.row == first).values(row=last)
        try:
            async with self._engine.begin() as c:
                if (await c.execute(moved)).rowcount != 1:
                    return False
                values = [_normal(row) for row in rows]
                if values:
                    await c.execute(text(ADD_SUMS), values)
        except (OperationalError, InterfaceError, OSError) as error:
            raise Unavailable("ledger_unavailable", "the ledger does not answer") from error
        return True


def _since(first: Any, last: Any) -> tuple[Select[Any], Select[Any]]:
    """Build queries for the sums of records and of charges in the rows [first, last)."""
    r, c = t.records.c, t.charges.c

    def span(row: Any) -> Any:
        return row >= first if last is None else and_(row >= first, row < last)

    zero = literal(0)
    made = func.sum(case((and_(r.kind == "authorize", r.hold != ""), 1), else_=0))
    columns = [r.book, made, *halves_of(r.held_micros), zero, zero]
    named = [column.label(name) for column, name in zip(columns, ("book", *SUMS), strict=True)]
    of_records = select(*named).where(span(r.row)).group_by(r.book)
    cost = halves_of(c.captured_micros + c.shortfall_micros)
    of_charges = select(c.book, zero, zero, zero, *cost)
    return of_records, of_charges.where(span(c.row)).group_by(c.book)


def _normal(row: Any) -> dict[str, Any]:
    """Normalize sums of halves: each lower half below 2^32 again."""
    values = {name: int(value) for name, value in zip(SUMS, row[1:], strict=True)}
    for name in ("held", "charged"):
        high, low = halves(whole(values[f"{name}_high"], values[f"{name}_low"]))
        values |= {f"{name}_high": high, f"{name}_low": low}
    return {"book": row[0], **values}
