"""Queries on the ledger for callers: trial balance, usage, balances, old holds, decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, and_, cast, func, or_, select, true
from sqlalchemy.dialects.postgresql import JSONB

from gateway.core import ids
from gateway.core.commands import Ended, Outcome
from gateway.core.holds import Hold, Taken
from gateway.core.request_record import RequestRecord
from gateway.errors import Unavailable
from gateway.ledger import schema as t
from gateway.ledger.batch import Position, Stored
from gateway.ledger.checks import Checks
from gateway.ledger.reading import NO_ROW, halves_of, whole
from gateway.wire import records
from gateway.wire.records import Decoded, StreamRecord

CLOCK_SLACK_MS = 1_000
"""Most that the store's clock may go back between two records of a shard."""
RECENT_BATCHES = 10_000
"""Batches that are searched for records later than the given one; it is a recent record."""
ADMIN = t.records.c.kind.in_(("grant", "void", "adjust", "event"))
"""The condition of the index on records that no request made."""
DECISIONS = ("authorize", "extend")


@dataclass(frozen=True)
class KindTotal:
    """Debits and credits (micros) of all accounts of a kind and currency."""

    kind: str
    currency: str
    debits: int
    credits: int


@dataclass(frozen=True)
class AccountBalance:
    """Debits and credits (micros) of one account of a book as of a record."""

    kind: str
    ref: str
    debits: int
    credits: int


@dataclass(frozen=True)
class Decided:
    """Decision on a request; `hold` is "" if it made none, `captured_micros` 0 without a charge."""

    allowed: bool
    hold: str
    captured_micros: int


class Ledger(Checks):
    """Queries of callers. Every method raises Unavailable if the ledger does not answer."""

    async def ping(self) -> None:
        """Check that the ledger answers. Raises Unavailable."""
        await self._all(select(1))

    async def cursors(self) -> dict[int, Position]:
        """Return the position up to which each shard is written."""
        return {r.shard: (r.epoch, r.seq) for r in await self._all(select(t.cursors))}

    async def reach(self, shard: int, position: Position, patience_s: float) -> None:
        """Wait until a shard is written up to a position. Raises Unavailable after `patience_s`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + patience_s
        while (await self.cursors()).get(shard, (0, -1)) < position:
            if loop.time() > until:
                detail = f"the ledger is more than {patience_s:.0f} s behind"
                raise Unavailable("ledger_behind", detail)
            await asyncio.sleep(0.02)

    async def trial_balance(self) -> list[KindTotal]:
        """Return the totals of all accounts by currency and kind."""
        a = t.accounts.c
        halves = [
            func.sum(column)
            for column in (a.debits_high, a.debits_low, a.credits_high, a.credits_low)
        ]
        query = select(a.kind, a.currency, *halves).group_by(a.kind, a.currency)
        rows = await self._all(query.order_by(a.currency, a.kind))
        return [
            KindTotal(kind, currency, whole(*halves[:2]), whole(*halves[2:]))
            for kind, currency, *halves in rows
        ]

    async def balances(
        self, book: str, shard: int, upto: Position, now_ms: int
    ) -> list[AccountBalance]:
        """Return every account of a book as of a record of its shard, in one statement.

        `now_ms` is a time by the store's clock (Unix ms) at which the record at `upto` was the
        shard's last one. Postings of later records are subtracted from the running totals.
        """
        a, p, b = t.accounts.c, t.postings.c, t.batches.c
        epoch, seq = upto
        # Later records are in batches that reach beyond `now_ms`; the slack covers a clock that
        # went back. Without the two bounds this would read all postings of the ledger.
        recent = b.n > select(func.max(t.batches.c.n)).scalar_subquery() - RECENT_BATCHES
        reaching = select(func.coalesce(func.min(b.first_row), NO_ROW)).where(
            recent, b.at_ms >= now_ms - CLOCK_SLACK_MS
        )
        later = and_(
            p.row >= reaching.scalar_subquery(),
            p.shard == shard,
            or_(p.epoch > epoch, and_(p.epoch == epoch, p.seq > seq)),
        )

        def since(column: Any) -> list[Any]:
            moved = [
                select(half).where(later, column == a.id) for half in halves_of(p.amount_micros)
            ]
            return [half.scalar_subquery() for half in moved]

        query = select(
            a.kind,
            a.ref,
            *(a.debits_high, a.debits_low, *since(p.debit)),
            *(a.credits_high, a.credits_low, *since(p.credit)),
        ).where(a.book == book)
        return [
            AccountBalance(
                kind,
                ref,
                whole(*n[0:2]) - whole(*n[2:4]),
                whole(*n[4:6]) - whole(*n[6:8]),
            )
            for kind, ref, *n in await self._all(query)
        ]

    async def has_moved(self, book: str) -> bool:
        """Return whether any money of a book was ever posted."""
        query = select(t.accounts.c.id).where(t.accounts.c.book == book).limit(1)
        return bool(await self._all(query))

    async def hold(self, hold_id: str) -> tuple[Hold, RequestRecord] | None:
        """Rebuild a hold from its records, with the request that made it; None if unknown."""
        return hold_from([records.read(line) for line in await self.lines_where(_of_hold(hold_id))])

    async def grant_records(self, org: str) -> list[StreamRecord]:
        """Return the records of an org's grants and voids, in the order of their rows."""
        r = t.records.c
        return await self.lines_where(and_(ADMIN, r.kind.in_(("grant", "void")), r.org == org))

    async def events(self, org: str, before: int, limit: int) -> list[tuple[int, StreamRecord]]:
        """Return the newest events of an org before a row, each with its row, newest first."""
        r = t.records.c
        where = and_(ADMIN, r.kind == "event", r.org == org, r.row < before)
        rows = select(r.row).where(where).order_by(r.row.desc()).limit(limit)
        found = [row for (row,) in await self._all(rows)]
        return list(reversed(await self.numbered_where(r.row.in_(found)))) if found else []

    async def holds_made(self, org: str, before: int, limit: int) -> list[tuple[int, str]]:
        """Return row and id of the newest holds made before a row; of all orgs with org ""."""
        r = t.records.c
        made = and_(r.kind == "authorize", r.hold != "", r.row < before)
        query = select(r.row, r.hold).where(and_(made, r.org == org) if org else made)
        return [
            (row, hold) for row, hold in await self._all(query.order_by(r.row.desc()).limit(limit))
        ]

    async def decided(self, decisions: Sequence[str]) -> dict[str, Decided]:
        """Return the decisions on these requests, by id; undecided ones are absent."""
        r, c = t.records.c, t.charges.c
        query = select(r.id, r.allowed, r.hold, c.captured_micros)
        query = query.select_from(t.records.outerjoin(t.charges, c.row == r.row))
        rows = await self._all(query.where(r.id.in_(decisions), r.kind == "authorize"))
        return {name: Decided(bool(ok), hold, int(n or 0)) for name, ok, hold, n in rows}

    async def story(self, decision_id: str) -> list[Stored]:
        """Return the rows of a decision, [] if unknown.

        If the decision made or extended a hold, the rows of all records of that hold are returned.
        """
        r = t.records.c
        of_decision = and_(r.id == decision_id, r.kind.in_(DECISIONS))
        found = await self._all(select(r.row, r.hold).where(of_decision))
        if not found:
            return []
        row, hold = found[0]
        rows = [row]
        if hold:
            of_hold = select(r.row).where(_of_hold(hold)).order_by(r.row)
            rows = [row for (row,) in await self._all(of_hold)]
        return await self.stored(rows)

    def _units(self, quantity: Any) -> Any:
        """Build a table expression of a quantity's units and counts: key, value."""
        if self._engine.dialect.name == "sqlite":
            return func.json_each(quantity).table_valued("key", "value")
        each = func.jsonb_each_text(cast(quantity, JSONB))
        return each.table_valued("key", "value")

    async def usage(
        self, org: str, from_ms: int, to_ms: int, group_by: tuple[str, ...]
    ) -> list[dict[str, Any]]:
        """Sum the charges of an org in [from_ms, to_ms), grouped by any of product and day (UTC).

        Money is in micros; `day` counts days since 1970.
        """
        c = t.charges.c
        columns = {"product": c.product, "day": c.at_ms // 86_400_000}
        groups = [columns[name].label(name) for name in group_by]
        where = (c.org == org, c.at_ms >= from_ms, c.at_ms < to_ms)
        sums = [func.count(), *halves_of(c.captured_micros), *halves_of(c.shortfall_micros)]
        by = [columns[name] for name in group_by]
        rows = await self._all(select(*groups, *sums).where(*where).group_by(*by).order_by(*by))
        units = self._units(c.quantity)
        of = select(*groups, units.c.key, *halves_of(cast(units.c.value, BigInteger)))
        counted = await self._all(
            of.select_from(t.charges.join(units, true())).where(*where).group_by(*by, units.c.key)
        )
        n = len(group_by)
        quantities: dict[tuple[Any, ...], dict[str, int]] = {}
        for row in counted:
            quantities.setdefault(tuple(row[:n]), {})[row[n]] = whole(*row[n + 1 : n + 3])
        return [
            {
                **dict(zip(group_by, row[:n], strict=True)),
                "requests": row[n],
                "captured_micros": whole(*row[n + 1 : n + 3]),
                "shortfall_micros": whole(*row[n + 3 : n + 5]),
                "quantity": quantities.get(tuple(row[:n]), {}),
            }
            for row in rows
            if row[n]
        ]


def _of_hold(hold_id: str) -> Any:
    r = t.records.c
    made_or_ended = r.id.in_((hold_id, ids.decision_of(hold_id)))
    return or_(made_or_ended, and_(r.hold == hold_id, r.kind == "extend"))


def hold_from(lines: Iterable[Decoded]) -> tuple[Hold, RequestRecord] | None:
    """Rebuild a hold from its records, in their order, with the request that made it; or None."""
    hold: Hold | None = None
    first: RequestRecord | None = None
    for _, out, note in lines:
        if isinstance(out, Outcome) and isinstance(note, RequestRecord):
            first = first or note
            hold = _after_outcome(hold, out, note)
        elif isinstance(out, Ended) and hold is not None:
            _after_end(hold, out)
    return (hold, first) if hold is not None and first is not None else None


def _after_outcome(hold: Hold | None, out: Outcome, asked: RequestRecord) -> Hold:
    terms = asked.terms
    if hold is None:
        hold = Hold(
            0, terms.org, terms.book, terms.currency, terms.product, 0, out.now_ms, 0, [], []
        )
    hold.amount, hold.expires_ms = out.hold_amount, out.hold_expires_ms
    for source, part in zip(terms.sources, out.draws, strict=False):
        if part:
            hold.draws.append(Taken(source.name, part, source.perishable))
    return hold


def _after_end(hold: Hold, out: Ended) -> None:
    hold.status, hold.late, hold.ended_ms = out.status, out.late, out.now_ms
    hold.captured, hold.released, hold.shortfall = out.captured, out.released, out.shortfall
    hold.draws = [Taken(part.name, part.amount, False) for part in [*out.kept, *out.excess]]
