"""One suite for every ledger, SQLite and PostgreSQL: exactly once, in order, balanced."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace
from sqlalchemy import text

from gateway.core.commands import GrantOrder, Status
from gateway.core.entities import Grant
from gateway.core.request_record import AdminNote
from gateway.errors import Unavailable
from gateway.ledger.days import table_of
from gateway.ledger.history import History
from gateway.ledger.hot import BALANCE, GRANT
from gateway.ledger.port import LedgerWriter, SecondWriter
from gateway.ledger.reader import Ledger
from gateway.ledger.verify import Verdict, verify
from gateway.ledger.writer import Gap, Writer, batch_of, check_contiguous
from gateway.sql.engine import open_engine
from gateway.sql.migrate import migrate
from gateway.store.keys import shard_of
from gateway.store.memory import MemoryStore
from gateway.wire import records
from gateway.wire.records import StreamRecord
from gateway.wiring.background import build_ledger
from tests.databases import Postgres


class Books:
    """A ledger, a store that feeds it, and a writer between them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = open_engine(url)
        self.store = MemoryStore(lambda: self.now_ms)
        self.now_ms = 1_800_000_000_000
        self.events: list[str] = []
        self.serial = 0
        self.ledgers: list[LedgerWriter] = []

    def ledger(self) -> LedgerWriter:
        self.ledgers.append(build_ledger(self.url))
        return self.ledgers[-1]

    def writer(self) -> Writer:
        history = History(self.engine)
        return Writer(self.store, self.ledger(), history, self.events.append, pause_s=0.01)

    async def give(self, org: str, amount: int) -> None:
        self.serial += 1
        given = Grant(f"g{self.serial}", "paid", amount, 10, 0)
        note = records.encode(AdminNote("", "", given))
        order = GrantOrder(org, "USD", given, records.encode(given), note)
        reply = await self.store.grant(order)
        assert reply.status is Status.DONE

    async def credits(self) -> int:
        totals = {t.kind: t for t in await Ledger(self.engine).trial_balance()}
        assert sum(t.debits - t.credits for t in totals.values()) == 0
        return totals["grant"].credits if "grant" in totals else 0

    async def execute(self, statement: str, **values: Any) -> None:
        async with self.engine.begin() as c:
            await c.execute(text(statement), values)

    async def verdict(self) -> Verdict:
        return await verify(History(self.engine), lambda rows: None)

    async def close(self) -> None:
        for ledger in self.ledgers:
            await ledger.close()
        await self.engine.dispose()


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def books(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres
) -> AsyncIterator[Books]:
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'ledger.db'}" if is_sqlite else postgres.database()
    found = Books(url)
    await migrate(found.engine, "ledger")
    yield found
    await found.close()


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


async def test_what_a_writer_left_that_died_behind_its_commit_the_next_one_trims(
    books: Books,
) -> None:
    trimmed: list[dict[int, tuple[int, int]]] = []

    async def trim(upto: dict[int, tuple[int, int]]) -> None:
        trimmed.append(dict(upto))

    books.store.trim = trim  # type: ignore[method-assign,assignment]  # to see what is trimmed
    ledger = books.ledger()
    at = await ledger.written()
    await books.give("acme", 100)
    await ledger.write(batch_of(await books.store.records(at.cursors, 10), at))
    assert await books.writer().step() == 0
    assert trimmed == [{shard_of("acme"): (1, 0)}]


async def test_whoever_asks_while_a_batch_is_written_hears_of_it_whole_or_not_at_all(
    books: Books,
) -> None:
    ledger = books.ledger()
    for number in range(20):
        at = await ledger.written()
        await books.give("acme", 100)
        batch = batch_of(await books.store.records(at.cursors, 10), at)
        looks = [asyncio.create_task(ledger.written()) for _ in range(3)]
        await asyncio.gather(ledger.write(batch), ledger.start_epochs({200: number + 1}))
        found = [(await look).head for look in looks]
        assert {head.n for head in found} <= {at.head.n, batch.n}
    written = await ledger.written()
    assert (written.head.rows, written.cursors[200]) == (20, (20, -1))
    assert (await books.verdict()).fault == ""


async def test_terms_of_two_writers_never_share_a_number(books: Books) -> None:
    first, second = books.ledger(), books.ledger()
    for number, ledger in enumerate((first, second, second, first, second, first)):
        at = await ledger.written()
        await books.give("acme", 100)
        batch = batch_of(await books.store.records(at.cursors, 10), at)
        entries = [
            replace(e, record=replace(e.record, terms=b"terms %d" % number)) for e in batch.entries
        ]
        await ledger.write(replace(batch, entries=tuple(entries)))
    async with books.engine.connect() as c:
        told = "SELECT t.body FROM records r JOIN terms t ON t.day = r.day AND t.id = r.terms"
        found = (await c.execute(text(f"{told} ORDER BY r.row"))).scalars().all()
    assert [bytes(body) for body in found] == [b"terms %d" % number for number in range(6)]


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


@pytest.mark.parametrize("table", ["postings", "accounts", "cursors", "batches"])
async def test_a_batch_is_written_whole_or_not_at_all(books: Books, table: str) -> None:
    await books.give("acme", 100)
    await books.execute(f"ALTER TABLE {table} RENAME TO hidden")
    with pytest.raises(Unavailable, match=r"no such table|does not exist"):
        await books.writer().step()
    await books.execute(f"ALTER TABLE hidden RENAME TO {table}")
    await books.writer().drain()
    assert await books.credits() == 100


GAPS = {
    "a first record that is not the first": (None, (1, 3)),
    "a hole": ((1, 4), (1, 6)),
    "a repetition": ((1, 4), (1, 4)),
    "an epoch that was not begun": ((1, 4), (2, 0)),
    "an epoch that begins late": ((2, -1), (2, 1)),
    "an epoch that has ended": ((2, -1), (1, 5)),
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


async def three_batches(books: Books) -> None:
    writer = books.writer()
    for _ in range(3):
        for org in ("acme", "other", "third"):
            await books.give(org, 100)
        await writer.step()
        books.now_ms += 86_400_000


async def test_a_whole_ledger_verifies_and_its_head_is_that_of_the_last_batch(
    books: Books,
) -> None:
    assert (await books.verdict()).fault == ""
    await three_batches(books)
    verdict = await books.verdict()
    assert (verdict.fault, verdict.batches, verdict.rows) == ("", 3, 9)
    written = await books.ledger().written()
    assert written.head == verdict.head


CHANGES = {
    "a posting's amount": ("postings", "amount_micros = amount_micros + 1", "row = 4", "row 4 "),
    "a posting's account": ("postings", "debit = credit, credit = debit", "row = 7", "row 7 "),
    "a record's source": ("records", "body = out", "row = 2", "row 2 "),
    "a record's column": ("records", "org = 'mallory'", "row = 5", "row 5 .*org was changed"),
    "a record's moment": ("records", "at_ms = at_ms + 1", "row = 8", "row 8 .*at_ms was changed"),
    "an account's name": (
        "accounts",
        "book = 'mallory'",
        "book = 'acme'",
        "its charge or postings",
    ),
    "an account's total": ("accounts", "debits_low = 7", "kind = 'cash'", "account .*totals"),
    "a batch's hash": ("batches", "hash = sources", "n = 2", "batch 2: its hash"),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_one_change_in_a_row_is_found_and_named(books: Books, name: str) -> None:
    await three_batches(books)
    table, change, where, fault = CHANGES[name]
    if table == "records" and books.url.startswith("sqlite"):
        # What a view shows is changed where it stands.
        async with books.engine.begin() as c:
            days = (await c.execute(text("SELECT DISTINCT day FROM records"))).scalars().all()
            for day in days:
                await c.execute(text(f"UPDATE {table_of(day)} SET {change} WHERE {where}"))
    else:
        await books.execute(f"UPDATE {table} SET {change} WHERE {where}")
    found = (await books.verdict()).fault
    assert re.search(fault, found), found


@pytest.mark.parametrize("table", ["postings", "batches"])
async def test_a_row_that_was_removed_is_missed(books: Books, table: str) -> None:
    await three_batches(books)
    column = "n" if table == "batches" else "row"
    await books.execute(f"DELETE FROM {table} WHERE {column} = 2")
    assert (await books.verdict()).fault


async def test_a_new_epoch_takes_nothing_of_the_one_before(books: Books) -> None:
    writer, ledger = books.writer(), books.ledger()
    await books.give("acme", 100)
    await writer.step()
    shard = next(iter(books.store.shards))
    await books.give("acme", 100)
    # A writer that still reads from the old server, behind the back of the new one.
    await ledger.start_epochs({shard: 2})
    with pytest.raises(SecondWriter):
        await writer.step()
    with pytest.raises(Gap):
        await writer.step()
    written = await ledger.written()
    assert (written.cursors[shard], written.last[shard]) == ((2, -1), (1, 0))
    assert await books.credits() == 100
    await ledger.start_epochs({shard: 1})
    assert (await ledger.written()).cursors[shard] == (2, -1), "epochs never go back"


async def test_the_hot_state_is_saved_and_goes_on_after_a_restart(books: Books) -> None:
    history = History(books.engine)
    for amount in (100, 250):
        await books.give("acme", amount)
        writer = books.writer()
        await writer.drain()
        written = await writer.save_hot()
        assert written.hot_row == written.head.rows
    rows = await history.hot(shard_of("acme"), None, 100)
    balances = {row.name: row.a for row in rows if row.kind == BALANCE}
    assert balances == {"g/g1": 100, "g/g2": 250}
    assert {row.name for row in rows if row.kind == GRANT} == {"g1", "g2"}
    # Lost between the records and the hot state: replayed from the records.
    await books.execute("DELETE FROM hot")
    await books.execute("UPDATE hot_state SET row = 0")
    await books.writer().save_hot()
    assert await history.hot(shard_of("acme"), None, 100) == rows
