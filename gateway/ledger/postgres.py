"""The ledger in PostgreSQL: a batch is one transaction, and COPY inserts its rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from msgspec.structs import astuple

from gateway.core.postings import Account
from gateway.errors import Unavailable
from gateway.ledger.batch import Batch, Head
from gateway.ledger.days import create_partition
from gateway.ledger.hot import HOT_GRACE_MS, HotKey, HotRow, HotSave
from gateway.ledger.port import SecondWriter, Written
from gateway.ledger.totals import TermIds, add, columns_of, halves, moved_by

LAST_BATCH = "SELECT n, hash, first_row + rows FROM batches ORDER BY n DESC LIMIT 1"
ADD_TOTALS = (
    f"UPDATE accounts SET {add('debits', 'm.dh', 'm.dl')}, {add('credits', 'm.kh', 'm.kl')}"  # noqa: S608  no input in it
    " FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])"
    " AS m (id, dh, dl, kh, kl) WHERE accounts.id = m.id"
)
MOVE_CURSORS = (
    "UPDATE cursors c SET epoch = m.epoch, seq = m.seq, last_epoch = m.epoch, last_seq = m.seq"
    " FROM unnest($1::int[], $2::int[], $3::bigint[], $4::int[], $5::bigint[])"
    " AS m (shard, epoch, seq, was_epoch, was_seq)"
    " WHERE c.shard = m.shard AND c.epoch = m.was_epoch AND c.seq = m.was_seq"
)
START_CURSORS = (
    "INSERT INTO cursors SELECT shard, epoch, seq, epoch, seq"
    " FROM unnest($1::int[], $2::int[], $3::bigint[]) AS m (shard, epoch, seq)"
    " ON CONFLICT DO NOTHING"
)
START_EPOCHS = (
    "INSERT INTO cursors SELECT shard, epoch, -1, 0, 0"
    " FROM unnest($1::int[], $2::int[]) AS m (shard, epoch)"
    " ON CONFLICT (shard) DO UPDATE SET epoch = excluded.epoch, seq = -1"
    " WHERE cursors.epoch < excluded.epoch"
)
OPEN_ACCOUNTS = (
    "INSERT INTO accounts (book, kind, ref, currency,"
    " debits_high, debits_low, credits_high, credits_low)"
    " SELECT *, 0, 0, 0, 0 FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])"
    " ON CONFLICT DO NOTHING"
)
FIND_ACCOUNTS = (
    "SELECT a.book, a.kind, a.ref, a.currency, a.id FROM accounts a"
    " JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[])"
    " AS n (book, kind, ref, currency) USING (book, kind, ref, currency)"
)
HOT_KEYS = "unnest($1::int[], $2::text[], $3::text[], $4::text[]) AS k (shard, kind, org, name)"
FIND_HOT = f"SELECT h.* FROM hot h JOIN {HOT_KEYS} USING (shard, kind, org, name)"  # noqa: S608  no input in it
DROP_HOT = (
    f"DELETE FROM hot h USING {HOT_KEYS}"  # noqa: S608  no input in it
    " WHERE h.shard = k.shard AND h.kind = k.kind AND h.org = k.org AND h.name = k.name"
)
ADD_HOT = (
    "UPDATE hot h SET a = h.a + m.a, b = h.b + m.b, expires_ms = greatest(h.expires_ms, m.ends)"
    " FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],"
    " $7::bigint[]) AS m (shard, kind, org, name, a, b, ends)"
    " WHERE h.shard = m.shard AND h.kind = m.kind AND h.org = m.org AND h.name = m.name"
)
SET_HOT = (
    "INSERT INTO hot SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[],"
    " $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[])"
    " ON CONFLICT (shard, kind, org, name) DO UPDATE SET a = hot.a + excluded.a,"
    " b = hot.b + excluded.b, expires_ms = greatest(hot.expires_ms, excluded.expires_ms)"
)
FORGET_HOT = "DELETE FROM hot WHERE expires_ms > 0 AND expires_ms < $1"

Rows = Sequence[Sequence[Any]]


def _columns(rows: Rows, count: int) -> list[list[Any]]:
    """Turn rows into one list a column, the arguments of unnest."""
    return [[row[i] for row in rows] for i in range(count)]


class PostgresLedger:
    """The writing side of a ledger in PostgreSQL, over one connection."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: asyncpg.Connection | None = None
        self._busy = asyncio.Lock()
        self._accounts: dict[Account, int] = {}
        self._terms: TermIds | None = None
        self._days: set[int] = set()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[asyncpg.Connection]:
        # One at a time: on a shared connection a second one would begin inside the first.
        async with self._busy, self._transaction_alone() as c:
            yield c

    @asynccontextmanager
    async def _transaction_alone(self) -> AsyncIterator[asyncpg.Connection]:
        try:
            if self._opened is None or self._opened.is_closed():
                self._opened = await asyncpg.connect(self._url, timeout=10, command_timeout=60)
            async with self._opened.transaction():
                yield self._opened
        except BaseException as error:
            # The caches may name rows of the transaction that was rolled back: they do not exist.
            self._accounts.clear()
            self._terms = None
            self._days.clear()
            if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError | OSError):
                detail = f"the ledger does not answer: {error}"
                raise Unavailable("ledger_unavailable", detail) from error
            raise

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()

    async def written(self) -> Written:
        async with self._transaction() as c:
            # One snapshot for all three queries: another writer may commit between them.
            await c.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            last = await c.fetchrow(LAST_BATCH)
            rows = await c.fetch("SELECT shard, epoch, seq, last_epoch, last_seq FROM cursors")
            hot_row = await c.fetchval("SELECT row FROM hot_state")
        cursors = {shard: (epoch, seq) for shard, epoch, seq, _, _ in rows}
        ended = {shard: (epoch, seq) for shard, _, _, epoch, seq in rows if epoch}
        return Written(Head(*last) if last else Head(), cursors, ended, hot_row)

    async def start_epochs(self, epochs: Mapping[int, int]) -> None:
        async with self._transaction() as c:
            await c.execute(START_EPOCHS, list(epochs), list(epochs.values()))

    async def write(self, batch: Batch) -> None:
        async with self._transaction() as c:
            # Chain and cursors first: they detect a second writer before anything is copied.
            await self._move(c, batch)
            await self._write_records(c, batch)
            charges = [astuple(e.charge) for e in batch.entries if e.charge is not None]
            await c.copy_records_to_table("charges", records=charges)
            await self._post(c, batch)

    async def _move(self, c: asyncpg.Connection, batch: Batch) -> None:
        head = (batch.n, batch.first_row, len(batch.entries), batch.at_ms)
        digests = (batch.hash, batch.sources, batch.books, batch.marks)
        last = await c.fetchval("SELECT coalesce(max(n), 0) FROM batches")
        if last != batch.n - 1:
            raise SecondWriter(f"batch {last} was written by another writer")
        try:
            await c.execute("INSERT INTO batches VALUES ($1,$2,$3,$4,$5,$6,$7,$8)", *head, *digests)
        except asyncpg.UniqueViolationError as error:
            raise SecondWriter(f"batch {batch.n} is written by another writer") from error
        fresh = [(s, *after) for s, (before, after) in batch.moves.items() if before is None]
        moved = [(s, *after, *before) for s, (before, after) in batch.moves.items() if before]
        started = await c.execute(START_CURSORS, *_columns(fresh, 3)) if fresh else "0 0"
        done = await c.execute(MOVE_CURSORS, *_columns(moved, 5)) if moved else "0"
        if (_count(started), _count(done)) != (len(fresh), len(moved)):
            raise SecondWriter("a shard's cursor was moved by another writer")

    async def _write_records(self, c: asyncpg.Connection, batch: Batch) -> None:
        if self._terms is None or not self._terms.is_current(batch):
            self._terms = TermIds(await c.fetchval("SELECT coalesce(max(id), 0) FROM terms"))
        numbers, fresh = self._terms.of(batch)
        await c.copy_records_to_table("terms", records=fresh)
        for day in {entry.record.day for entry in batch.entries} - self._days:
            await c.execute(create_partition(day))
            self._days.add(day)
        rows = [columns_of(e.record, n) for e, n in zip(batch.entries, numbers, strict=True)]
        await c.copy_records_to_table("records", records=rows)

    async def _post(self, c: asyncpg.Connection, batch: Batch) -> None:
        totals = moved_by(batch)
        await self._find_accounts(c, [a for a in totals if a not in self._accounts])
        ids, lines = self._accounts, []
        for entry in batch.entries:
            for p in entry.postings:
                sides = (ids[p.posting.debit], ids[p.posting.credit])
                at = (p.row, p.n, p.shard, p.epoch, p.seq)
                lines.append((*at, *sides, p.posting.amount_micros))
        await c.copy_records_to_table("postings", records=lines)
        changes = [(ids[a], *halves(d), *halves(k)) for a, (d, k) in totals.items()]
        await c.execute(ADD_TOTALS, *_columns(changes, 5))

    async def _find_accounts(self, c: asyncpg.Connection, names: list[Account]) -> None:
        if names:
            columns = _columns([(a.book, a.kind, a.ref, a.currency) for a in names], 4)
            await c.execute(OPEN_ACCOUNTS, *columns)
            for *name, number in await c.fetch(FIND_ACCOUNTS, *columns):
                self._accounts[Account(*name)] = number

    async def hot(self, keys: Sequence[HotKey]) -> list[HotRow]:
        if not keys:
            return []
        async with self._transaction() as c:
            return [HotRow(*row) for row in await c.fetch(FIND_HOT, *_columns(keys, 4))]

    async def save_hot(self, save: HotSave) -> None:
        moved = "UPDATE hot_state SET row = $1 WHERE row = $2"
        async with self._transaction() as c:
            if _count(await c.execute(moved, save.upto_row, save.from_row)) != 1:
                raise SecondWriter("the hot state was saved by another writer")
            await c.execute(DROP_HOT, *_columns(save.drops, 4))
            rows = [astuple(r)[:8] for r in save.rows if not r.is_partial]
            partial = [astuple(r)[:7] for r in save.rows if r.is_partial]
            await c.execute(ADD_HOT, *_columns(partial, 7))
            await c.execute(SET_HOT, *_columns(rows, 8))
            await c.execute(FORGET_HOT, save.now_ms - HOT_GRACE_MS)


def _count(status: str) -> int:
    """Return how many rows a command changed, from its status ("UPDATE 3", "INSERT 0 3")."""
    return int(status.rsplit(" ", 1)[-1])
