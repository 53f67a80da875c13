"""The ledger in SQLite: a batch is one transaction, run in a single call of its own thread."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from msgspec.structs import astuple

from gateway.core.postings import Account
from gateway.errors import Unavailable
from gateway.ledger.batch import Batch, Head
from gateway.ledger.days import create_table, create_view, day_of, table_of
from gateway.ledger.hot import HOT_GRACE_MS, HotKey, HotRow, HotSave
from gateway.ledger.pace import yielding
from gateway.ledger.port import SecondWriter, Written
from gateway.ledger.totals import TermIds, add, columns_of, halves, moved_by
from gateway.sql.engine import prepare_sqlite

T = TypeVar("T")


def _insert(table: str, columns: int) -> str:
    # The table is one of ours; values travel as parameters.
    return f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})"  # noqa: S608  no input in it


ADD_TOTALS = (
    f"UPDATE accounts SET {add('debits', '?', '?')}, {add('credits', '?', '?')} WHERE id = ?"  # noqa: S608  no input in it
)
MOVE_CURSOR = (
    "UPDATE cursors SET epoch = ?, seq = ?, last_epoch = ?, last_seq = ?"
    " WHERE shard = ? AND epoch = ? AND seq = ?"
)
START_CURSOR = (
    "INSERT OR IGNORE INTO cursors (epoch, seq, last_epoch, last_seq, shard) VALUES (?, ?, ?, ?, ?)"
)
START_EPOCH = (
    "INSERT INTO cursors (shard, epoch, seq, last_epoch, last_seq) VALUES (?, ?, -1, 0, 0)"
    " ON CONFLICT (shard) DO UPDATE SET epoch = excluded.epoch, seq = -1"
    " WHERE cursors.epoch < excluded.epoch"
)
FIND_HOT = "SELECT * FROM hot WHERE shard = ? AND kind = ? AND org = ? AND name = ?"
DROP_HOT = "DELETE FROM hot WHERE shard = ? AND kind = ? AND org = ? AND name = ?"
ADD_HOT = (
    "UPDATE hot SET a = a + ?, b = b + ?, expires_ms = max(expires_ms, ?)"
    " WHERE shard = ? AND kind = ? AND org = ? AND name = ?"
)
SET_HOT = (
    "INSERT INTO hot VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (shard, kind, org, name)"
    " DO UPDATE SET a = a + excluded.a, b = b + excluded.b,"
    " expires_ms = max(expires_ms, excluded.expires_ms)"
)
FORGET_HOT = "DELETE FROM hot WHERE expires_ms > 0 AND expires_ms < ?"
OPEN_ACCOUNT = (
    "INSERT OR IGNORE INTO accounts"
    " (book, kind, ref, currency, debits_high, debits_low, credits_high, credits_low)"
    " VALUES (?, ?, ?, ?, 0, 0, 0, 0)"
)
FIND_ACCOUNT = "SELECT id FROM accounts WHERE book = ? AND kind = ? AND ref = ? AND currency = ?"
LAST_BATCH = "SELECT n, hash, first_row + rows FROM batches ORDER BY n DESC LIMIT 1"


class SqliteLedger:
    """The writing side of a ledger in an SQLite file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._opened: sqlite3.Connection | None = None
        self._accounts: dict[Account, int] = {}
        self._terms: TermIds | None = None
        self._days: set[int] = set()

    async def written(self) -> Written:
        return await self._in_thread(self._written)

    async def write(self, batch: Batch) -> None:
        await self._in_thread(lambda c: self._transaction(c, lambda: self._write(c, batch)))

    async def start_epochs(self, epochs: Mapping[int, int]) -> None:
        def start(c: sqlite3.Connection) -> None:
            c.executemany(START_EPOCH, epochs.items())

        await self._in_thread(lambda c: self._transaction(c, lambda: start(c)))

    async def hot(self, keys: Sequence[HotKey]) -> list[HotRow]:
        def find(c: sqlite3.Connection) -> list[HotRow]:
            rows = (c.execute(FIND_HOT, key).fetchone() for key in keys)
            return [HotRow(*row) for row in rows if row is not None]

        return await self._in_thread(find) if keys else []

    async def save_hot(self, save: HotSave) -> None:
        await self._in_thread(lambda c: self._transaction(c, lambda: self._save_hot(c, save)))

    def _save_hot(self, c: sqlite3.Connection, save: HotSave) -> None:
        moved = (save.upto_row, save.from_row)
        if c.execute("UPDATE hot_state SET row = ? WHERE row = ?", moved).rowcount != 1:
            raise SecondWriter("the hot state was saved by another writer")
        c.executemany(DROP_HOT, yielding(save.drops))
        partial = [r for r in save.rows if r.is_partial]
        at = ((r.a, r.b, r.expires_ms, r.shard, r.kind, r.org, r.name) for r in partial)
        c.executemany(ADD_HOT, yielding(at))
        whole = (astuple(r)[:8] for r in save.rows if not r.is_partial)
        c.executemany(SET_HOT, yielding(whole))
        c.execute(FORGET_HOT, (save.now_ms - HOT_GRACE_MS,))

    async def close(self) -> None:
        if self._opened is not None:
            await self._in_thread(sqlite3.Connection.close)
        self._thread.shutdown()

    async def _in_thread(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def run() -> T:
            try:
                if self._opened is None:
                    # No implicit transactions: BEGIN and COMMIT are explicit, see below.
                    self._opened = sqlite3.connect(self._path, isolation_level=None)
                    prepare_sqlite(self._opened)
                return work(self._opened)
            except sqlite3.OperationalError as error:
                detail = f"the ledger does not answer: {error}"
                raise Unavailable("ledger_unavailable", detail) from error

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    def _written(self, c: sqlite3.Connection) -> Written:
        c.execute("BEGIN")
        try:
            last = c.execute(LAST_BATCH).fetchone()
            rows = c.execute("SELECT * FROM cursors").fetchall()
            hot_row = c.execute("SELECT row FROM hot_state").fetchone()[0]
        finally:
            c.execute("COMMIT")
        cursors = {shard: (epoch, seq) for shard, epoch, seq, _, _ in rows}
        ended = {shard: (epoch, seq) for shard, _, _, epoch, seq in rows if epoch}
        return Written(Head(*last) if last else Head(), cursors, ended, hot_row)

    def _transaction(self, c: sqlite3.Connection, work: Callable[[], None]) -> None:
        try:
            c.execute("BEGIN IMMEDIATE")
            work()
            c.execute("COMMIT")
        except BaseException:
            # The caches may name rows of the transaction that was rolled back: they do not exist.
            self._accounts.clear()
            self._terms = None
            self._days.clear()
            if c.in_transaction:
                c.execute("ROLLBACK")
            raise

    def _write(self, c: sqlite3.Connection, batch: Batch) -> None:
        # Chain and cursors first: they detect a second writer before anything is inserted.
        self._move(c, batch)
        if self._terms is None or not self._terms.is_current(batch):
            last = c.execute("SELECT coalesce(max(id), 0) FROM terms").fetchone()[0]
            self._terms = TermIds(last)
        numbers, fresh = self._terms.of(batch)
        c.executemany(_insert("terms", 3), fresh)
        self._write_records(c, batch, numbers)
        charges = [astuple(e.charge) for e in batch.entries if e.charge is not None]
        c.executemany(_insert("charges", 12), yielding(charges))
        self._post(c, batch)

    def _move(self, c: sqlite3.Connection, batch: Batch) -> None:
        last = c.execute("SELECT coalesce(max(n), 0) FROM batches").fetchone()[0]
        if last != batch.n - 1:
            raise SecondWriter(f"batch {last} was written by another writer")
        head = (batch.n, batch.first_row, len(batch.entries), batch.at_ms)
        digests = (batch.hash, batch.sources, batch.books, batch.marks)
        c.execute(_insert("batches", 8), (*head, *digests))
        for shard, (before, after) in batch.moves.items():
            if before is None:
                done = c.execute(START_CURSOR, (*after, *after, shard))
            else:
                done = c.execute(MOVE_CURSOR, (*after, *after, shard, *before))
            if done.rowcount != 1:
                raise SecondWriter(f"the cursor of shard {shard} was moved by another writer")

    def _write_records(self, c: sqlite3.Connection, batch: Batch, numbers: list[int]) -> None:
        by_day: dict[int, list[tuple[object, ...]]] = {}
        for entry, number in zip(batch.entries, numbers, strict=True):
            by_day.setdefault(entry.record.day, []).append(columns_of(entry.record, number))
        for day, rows in by_day.items():
            self._ensure_day(c, day)
            c.executemany(_insert(table_of(day), 19), yielding(rows))

    def _ensure_day(self, c: sqlite3.Connection, day: int) -> None:
        if day in self._days:
            return
        days = _days(c)
        if day not in days:
            for statement in create_table(day):
                c.execute(statement)
            c.execute("DROP VIEW records")
            c.execute(create_view([*days, day]))
        self._days = {*days, day}

    def _post(self, c: sqlite3.Connection, batch: Batch) -> None:
        lines = []
        for entry in yielding(batch.entries):
            for p in entry.postings:
                moved = p.posting
                debit, credit = self._account(c, moved.debit), self._account(c, moved.credit)
                at = (p.row, p.n, p.shard, p.epoch, p.seq)
                lines.append((*at, debit, credit, moved.amount_micros))
        c.executemany(_insert("postings", 8), yielding(lines))
        changes = [
            (*_twice(debits), *_twice(credits), self._account(c, account))
            for account, (debits, credits) in moved_by(batch).items()
        ]
        c.executemany(ADD_TOTALS, changes)

    def _account(self, c: sqlite3.Connection, of: Account) -> int:
        found = self._accounts.get(of)
        if found is None:
            name = (of.book, of.kind, of.ref, of.currency)
            c.execute(OPEN_ACCOUNT, name)
            found = self._accounts[of] = int(c.execute(FIND_ACCOUNT, name).fetchone()[0])
        return found


def _days(c: sqlite3.Connection) -> list[int]:
    """Return the days that have a table, oldest first."""
    named = c.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return sorted(day_of(name) for (name,) in named if name.startswith("records_"))


def _twice(amount: int) -> tuple[int, int, int]:
    high, low = halves(amount)
    return high, low, low
