"""Old days of the decision log go, into files where it is wanted; the books stay what they were."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyarrow import parquet

from gateway.core.windows import DAY_MS
from gateway.ledger.days import table_of
from gateway.ledger.pruning import Pruner
from gateway.ledger.reader import Ledger
from tests.contract.test_ledger import Books, books

__all__ = ["books"]


async def three_days(books: Books) -> int:
    """Records of three days, the second batch with some of two days; the first day."""
    first = books.now_ms // DAY_MS
    writer = books.writer()
    for day, count in enumerate((3, 2, 4)):
        books.now_ms = (first + day) * DAY_MS + 1
        for _ in range(count):
            await books.give("acme", 100)
        if day != 1:
            await writer.drain()
    return first


@pytest.mark.parametrize("is_exported", [False, True])
async def test_a_day_is_removed_and_its_money_stays(
    books: Books, tmp_path: Path, is_exported: bool
) -> None:
    first = await three_days(books)
    ledger, pruner = Ledger(books.engine), Pruner(books.engine)
    export_to = tmp_path / "days" if is_exported else None
    assert await pruner.prune(first + 9, export_to, books.now_ms) == {}, "not in the sums yet"
    while await ledger.advance(100):
        pass
    before = await ledger.books()
    sources = await books.verdict()

    assert await pruner.prune(first + 2, export_to, books.now_ms) == {first: 3, first + 1: 2}

    assert await pruner.days() == [first + 2]
    assert await ledger.books() == before
    assert await books.credits() == 900
    verdict = await books.verdict()
    assert (verdict.fault, verdict.pruned, verdict.head) == ("", 5, sources.head)
    if export_to is not None:
        tables = [parquet.read_table(path) for path in sorted(export_to.iterdir())]
        assert [table.num_rows for table in tables] == [3, 2]
        rows = [row for table in tables for row in table.to_pylist()]
        assert [row["row"] for row in rows] == list(range(5))
        assert {(row["org"], row["kind"]) for row in rows} == {("acme", "grant")}
    await books.give("acme", 50)
    await books.writer().drain()
    assert (await books.verdict()).fault == ""
    assert await books.credits() == 950


async def test_what_is_missing_beyond_what_was_pruned_is_found(books: Books) -> None:
    first = await three_days(books)
    ledger = Ledger(books.engine)
    while await ledger.advance(100):
        pass
    await Pruner(books.engine).prune(first + 2, None, books.now_ms)
    assert (await books.verdict()).fault == ""
    # In the batch that reaches into the day that was pruned.
    await books.execute(f"DELETE FROM {table_of(first + 2)} WHERE row = 7")
    assert (await books.verdict()).fault == "6 records are missing, 5 were pruned"
