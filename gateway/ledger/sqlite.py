"""The ledger in SQLite: batches by executemany, one transaction each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.core.postings import Account
from gateway.ledger import schema as t
from gateway.ledger.port import Position, SecondWriter
from gateway.ledger.rows import Rows


def _insert(table: str, columns: int) -> str:
    # The table is one of ours; values travel as parameters.
    return f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})"  # noqa: S608  no input in it


HALF = 2**32


def _halves(amount: int) -> tuple[int, int, int]:
    """What adds an amount to a total kept in halves: high, and low twice (carry and rest)."""
    high, low = divmod(amount, HALF)
    return high, low, low


def _add(side: str) -> str:
    high, low = f"{side}_high", f"{side}_low"
    return f"{high} = {high} + ? + ({low} + ?) / {HALF}, {low} = ({low} + ?) % {HALF}"


ADD_TOTALS = f"UPDATE accounts SET {_add('debits')}, {_add('credits')} WHERE id = ?"  # noqa: S608  no input in it


class SqliteLedger:
    """The writing side of a ledger in SQLite."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._accounts: dict[Account, int] = {}

    async def cursors(self) -> dict[int, Position]:
        async with self._engine.connect() as c:
            rows = (await c.execute(select(t.cursors))).all()
        return {row.shard: (row.epoch, row.seq) for row in rows}

    async def write(
        self, rows: Rows, before: Mapping[int, Position], after: Mapping[int, Position]
    ) -> None:
        try:
            async with self._engine.begin() as c:
                # The cursor first: it takes the write lock and finds a second writer at once.
                await self._move_cursors(c, before, after)
                if rows.records:
                    await c.exec_driver_sql(_insert("records", 15), rows.records)
                if rows.charges:
                    await c.exec_driver_sql(_insert("charges", 11), rows.charges)
                await self._post(c, rows)
        except BaseException:
            # Accounts made in a transaction that was rolled back do not exist.
            self._accounts.clear()
            raise

    async def _move_cursors(
        self, c: AsyncConnection, before: Mapping[int, Position], after: Mapping[int, Position]
    ) -> None:
        for shard, (epoch, seq) in after.items():
            values = {"shard": shard, "epoch": epoch, "seq": seq}
            if shard in before:
                was = {"was_epoch": before[shard][0], "was_seq": before[shard][1]}
                move = (
                    "UPDATE cursors SET epoch = :epoch, seq = :seq"
                    " WHERE shard = :shard AND epoch = :was_epoch AND seq = :was_seq"
                )
                done = await c.execute(text(move), {**values, **was})
            else:
                start = "INSERT OR IGNORE INTO cursors VALUES (:shard, :epoch, :seq)"
                done = await c.execute(text(start), values)
            if done.rowcount != 1:
                raise SecondWriter(f"the cursor of shard {shard} was moved by another writer")

    async def _post(self, c: AsyncConnection, rows: Rows) -> None:
        named = {a for _, moves in rows.postings for p in moves for a in (p.debit, p.credit)}
        await self._open_accounts(c, [a for a in named if a not in self._accounts])
        lines: list[tuple[int, ...]] = []
        totals: dict[int, list[int]] = {}
        for record, moves in rows.postings:
            for n, posting in enumerate(moves):
                debit, credit = self._accounts[posting.debit], self._accounts[posting.credit]
                position = (record.shard, record.epoch, record.seq, n)
                lines.append((*position, debit, credit, posting.amount_micros))
                totals.setdefault(debit, [0, 0])[0] += posting.amount_micros
                totals.setdefault(credit, [0, 0])[1] += posting.amount_micros
        if lines:
            await c.exec_driver_sql(_insert("postings", 7), lines)
            await c.exec_driver_sql(
                ADD_TOTALS,
                [
                    (*_halves(debits), *_halves(credits), account)
                    for account, (debits, credits) in totals.items()
                ],
            )

    async def _open_accounts(self, c: AsyncConnection, names: list[Account]) -> None:
        for name in names:
            values: dict[str, Any] = {
                "book": name.book,
                "kind": name.kind,
                "ref": name.ref,
                "currency": name.currency,
            }
            await c.execute(
                text(
                    "INSERT OR IGNORE INTO accounts"
                    " (book, kind, ref, currency,"
                    " debits_high, debits_low, credits_high, credits_low)"
                    " VALUES (:book, :kind, :ref, :currency, 0, 0, 0, 0)"
                ),
                values,
            )
            where = [t.accounts.c[column] == value for column, value in values.items()]
            found = await c.scalar(select(t.accounts.c.id).where(*where))
            assert found is not None
            self._accounts[name] = found
