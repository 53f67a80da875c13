"""One suite for every ledger: exactly once, in order, balanced. Today: SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy.exc import OperationalError

from gateway.core.entities import Grant
from gateway.core.orders import GrantOrder, Status
from gateway.ledger.port import SecondWriter
from gateway.ledger.reader import Ledger
from gateway.ledger.sqlite import SqliteLedger
from gateway.ledger.writer import Gap, Writer, check_contiguous
from gateway.sql.engine import migrate, open_engine
from gateway.store.memory import MemoryStore
from gateway.wire.records import StreamRecord


class Books:
    """A ledger, a store that feeds it, and a writer between them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = open_engine(f"sqlite:///{path}")
        self.store = MemoryStore(lambda: 1_800_000_000_000)
        self.events: list[str] = []
        self.serial = 0

    def writer(self) -> Writer:
        return Writer(self.store, SqliteLedger(self.engine), 0.01, self.events.append)

    async def give(self, org: str, amount: int) -> None:
        self.serial += 1
        given = Grant(f"g{self.serial}", "paid", amount, 10, 0)
        reply = await self.store.grant(GrantOrder(org, "USD", given, b"", b""))
        assert reply.status is Status.DONE

    async def credits(self) -> int:
        totals = {t.kind: t for t in await Ledger(self.engine).trial_balance()}
        assert sum(t.debits - t.credits for t in totals.values()) == 0
        return totals["grant"].credits if "grant" in totals else 0


@pytest_asyncio.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    found = Books(tmp_path / "ledger.db")
    await migrate(found.engine, "ledger")
    yield found
    await found.engine.dispose()


async def test_every_record_is_booked_once_however_often_the_writer_starts_anew(
    books: Books,
) -> None:
    for round_number in range(5):
        await books.give("acme", 100)
        await books.give("other", 7)
        await books.writer().drain()
        assert await books.credits() == 107 * (round_number + 1)


async def test_a_second_writer_is_found_out_and_writes_nothing(books: Books) -> None:
    first, second = books.writer(), books.writer()
    await books.give("acme", 100)
    await first.step()
    await second.step()
    await books.give("acme", 100)
    assert await first.step() == 1
    # The second still believes in the cursor it knows: its batch fails as a whole.
    with pytest.raises(SecondWriter, match="another writer"):
        await second.step()
    assert await books.credits() == 200


async def test_a_second_writer_that_finds_records_trimmed_does_not_take_it_for_a_gap(
    books: Books,
) -> None:
    first, second = books.writer(), books.writer()
    await books.give("acme", 100)
    await first.step()
    await second.step()
    await books.give("acme", 100)
    await first.step()
    await books.give("acme", 100)
    hidden = books.store.records

    async def trimmed(after: dict[int, tuple[int, int]], limit: int) -> list[StreamRecord]:
        return [r for r in await hidden(after, limit) if r.seq >= 2]

    books.store.records = trimmed  # type: ignore[method-assign,assignment]  # as Redis trims
    with pytest.raises(SecondWriter, match="trimmed"):
        await second.step()
    await first.step()
    assert await books.credits() == 300


@pytest.mark.parametrize("table", ["postings", "accounts", "records"])
async def test_a_batch_is_written_whole_or_not_at_all(books: Books, table: str) -> None:
    await books.give("acme", 100)
    with sqlite3.connect(books.path) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO hidden")
    with pytest.raises(OperationalError, match="no such table"):
        await books.writer().step()
    with sqlite3.connect(books.path) as connection:
        connection.execute(f"ALTER TABLE hidden RENAME TO {table}")
    await books.writer().drain()
    assert await books.credits() == 100


GAPS = {
    "a first record that is not the first": (None, (1, 3)),
    "a hole": ((1, 4), (1, 6)),
    "a repetition": ((1, 4), (1, 4)),
    "an epoch left out": ((1, 4), (3, 0)),
    "an epoch that begins late": ((1, 4), (2, 1)),
}


@pytest.mark.parametrize("name", GAPS)
def test_a_gap_is_found(name: str) -> None:
    before, (epoch, seq) = GAPS[name]
    with pytest.raises(Gap, match="the ledger stops there"):
        check_contiguous(7, before, StreamRecord(7, epoch, seq, "grant", b"", b""))


async def test_a_gap_stops_the_writer_and_says_so(books: Books) -> None:
    for _ in range(3):
        await books.give("acme", 100)
    shard = next(iter(books.store.shards.values()))
    writer = books.writer()
    await writer.step()
    await books.give("acme", 100)
    await books.give("acme", 100)
    shard.records.insert(4, shard.records.pop())
    hidden = books.store.records

    async def with_a_hole(after: dict[int, tuple[int, int]], limit: int) -> list[StreamRecord]:
        return [r for r in await hidden(after, limit) if r.seq != 3]

    books.store.records = with_a_hole  # type: ignore[method-assign,assignment]  # a hole
    await writer.run()
    assert writer.stopped_by is not None and "after (1, 2) came (1, 4)" in writer.stopped_by
    assert await books.credits() == 300
