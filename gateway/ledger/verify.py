"""Verify the chain: every row agrees with its batch's hash and follows from its source."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from msgspec import Struct
from msgspec.structs import asdict

from gateway.ledger.batch import (
    DAY_MS,
    MARK,
    Head,
    RecordRow,
    Stored,
    books_digest,
    entry,
    link,
    source_digest,
    summed,
)

BATCHES_AT_A_TIME = 500


class BatchRow(Struct, frozen=True):
    """A batch as stored in the ledger."""

    n: int
    first_row: int
    rows: int
    at_ms: int
    hash: bytes
    sources: bytes
    books: bytes
    marks: bytes


class Verdict(Struct, frozen=True):
    """Counts of what was verified, up to a head; `fault` names the first fault, "" if none."""

    batches: int
    rows: int
    pruned: int
    head: Head
    fault: str = ""


class Chain(Protocol):
    """Reads that verification needs; `gateway.ledger.history` implements them."""

    async def batches(self, after: int, limit: int) -> list[BatchRow]:
        """Return at most `limit` batches with a number greater than `after`, in order."""
        ...

    async def stored(self, rows: Sequence[int]) -> list[Stored]:
        """Return the stored record, charge and postings of each of these rows."""
        ...

    async def pruned_before_day(self) -> int:
        """Return the day after the last pruned one, counted since 1970; 0 if none was pruned."""
        ...

    async def pruned_rows(self) -> int:
        """Count the records that were pruned."""
        ...

    async def wrong_totals(self) -> list[tuple[str, str, str, str]]:
        """Find accounts whose totals differ from their postings: (book, kind, ref, currency)."""
        ...


async def verify(ledger: Chain, on_progress: Callable[[int], None]) -> Verdict:
    """Verify the whole ledger batch by batch, then its totals; stop at the first fault.

    `on_progress` is called with the number of rows verified so far.
    """
    pruned_before_day = await ledger.pruned_before_day()
    head, batches, pruned = Head(), 0, 0
    async for batch in _batches(ledger):
        stored = await ledger.stored(range(batch.first_row, batch.first_row + batch.rows))
        # A batch may reach into the day after that of its first records.
        is_pruned = batch.at_ms // DAY_MS <= pruned_before_day
        fault = _fault_of(batch, head, stored, may_be_pruned=is_pruned)
        if fault:
            return Verdict(batches, head.rows, pruned, head, fault)
        batches += 1
        pruned += sum(of.record is None for of in stored)
        head = Head(batch.n, batch.hash, batch.first_row + batch.rows)
        on_progress(head.rows)
    fault = ""
    if pruned != await ledger.pruned_rows():
        fault = f"{pruned} records are missing, {await ledger.pruned_rows()} were pruned"
    return Verdict(batches, head.rows, pruned, head, fault or await _fault_of_totals(ledger))


async def _batches(ledger: Chain) -> AsyncIterator[BatchRow]:
    after = 0
    while page := await ledger.batches(after, BATCHES_AT_A_TIME):
        for batch in page:
            yield batch
        after = page[-1].n


def _fault_of(batch: BatchRow, before: Head, stored: list[Stored], *, may_be_pruned: bool) -> str:
    """Return the first fault of a batch, "" if it has none."""
    if (batch.n, batch.first_row) != (before.n + 1, before.rows):
        return f"batch {batch.n} does not follow batch {before.n}: batches are missing"
    for i, of in enumerate(stored):
        mark = batch.marks[2 * MARK * i : 2 * MARK * (i + 1)]
        fault = _fault_of_row(batch.first_row + i, of, mark, may_be_pruned=may_be_pruned)
        if fault:
            return f"batch {batch.n}, {fault}"
    sources = batch.sources
    if not any(of.record is None for of in stored):
        sources = summed(source_digest(of.record) for of in stored if of.record is not None)
    books = summed(books_digest(of.charge, of.postings) for of in stored)
    if sources != batch.sources or books != batch.books:
        return f"batch {batch.n}: its digests are not those of its rows"
    if link(before.hash, batch.n, sources, books) != batch.hash:
        return f"batch {batch.n}: its hash does not follow from the batch before"
    return ""


def _fault_of_row(row: int, of: Stored, marks: bytes, *, may_be_pruned: bool) -> str:
    record = of.record
    if record is None:
        if not may_be_pruned:
            return f"row {row}: its record is missing"
    elif source_digest(record)[:MARK] != marks[:MARK]:
        at = f"shard {record.shard}, {record.epoch}-{record.seq}"
        return f"row {row} ({at}, {record.kind} {record.id}): its source was changed"
    if books_digest(of.charge, of.postings)[:MARK] != marks[MARK:]:
        what = record.id if record is not None else "pruned"
        return f"row {row} ({what}): its charge or postings were changed"
    if record is not None:
        return _fault_of_columns(row, record)
    return ""


def _fault_of_columns(row: int, record: RecordRow) -> str:
    """Return the fault of a record's columns: they are copies, so derive them again and compare."""
    made = asdict(entry(record.source, row).record)
    wrong = [name for name, value in asdict(record).items() if made[name] != value]
    return f"row {row} ({record.id}): {', '.join(wrong)} was changed" if wrong else ""


async def _fault_of_totals(ledger: Chain) -> str:
    wrong = await ledger.wrong_totals()
    if not wrong:
        return ""
    book, kind, ref, currency = wrong[0]
    return f"account {book}/{kind}/{ref} ({currency}): its totals are not the sum of its postings"
