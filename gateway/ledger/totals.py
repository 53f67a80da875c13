"""Changes of account totals and numbers of terms in a batch, for every ledger database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import astuple

from gateway.core.postings import Account
from gateway.ledger.batch import Batch, RecordRow

# A total is high * 2**32 + low: the sum over all orgs may exceed a SQL integer of 64 bits, and
# neither half does.
HALF = 2**32
TERMS = RecordRow.__struct_fields__.index("terms")


def halves(amount: int) -> tuple[int, int]:
    """Split a sum into (high, low), the low half of 32 bits: totals may exceed a SQL integer."""
    return divmod(amount, HALF)


def add(side: str, high: str, low: str, table: str = "accounts") -> str:
    """Return SQL that adds two halves to a total stored in halves, and carries."""
    old = f"{table}.{side}"
    return (
        f"{side}_high = {old}_high + {high} + ({old}_low + {low}) / {HALF},"
        f" {side}_low = ({old}_low + {low}) % {HALF}"
    )


def moved_by(batch: Batch) -> dict[Account, tuple[int, int]]:
    """Return (debits, credits) in micros of each account in a batch."""
    totals: dict[Account, list[int]] = {}
    for entry in batch.entries:
        for line in entry.postings:
            posting = line.posting
            totals.setdefault(posting.debit, [0, 0])[0] += posting.amount_micros
            totals.setdefault(posting.credit, [0, 0])[1] += posting.amount_micros
    return {account: (debits, credits) for account, (debits, credits) in totals.items()}


def columns_of(record: RecordRow, terms: int) -> tuple[Any, ...]:
    """Return a record's columns, with the number of its terms in place of the terms."""
    values = astuple(record)
    return (*values[:TERMS], terms, *values[TERMS + 1 :])


class TermIds:
    """Numbers of the terms that records were made under: equal terms are written once a day.

    After a restart the same terms may be written once more, under another number.
    """

    MOST = 20_000

    def __init__(self, last: int) -> None:
        self._last = last
        self._next_batch = 0
        self._known: dict[tuple[int, bytes], int] = {}

    def is_current(self, batch: Batch) -> bool:
        """Return whether this batch follows the last one numbered here, without another writer."""
        return self._next_batch == batch.n

    def of(self, batch: Batch) -> tuple[list[int], list[tuple[int, int, bytes]]]:
        """Return each record's number of terms (0: none), and new rows (day, number, terms)."""
        self._next_batch = batch.n + 1
        numbers, fresh = [], []
        for day, terms in self._of_records(batch):
            number = 0
            if terms:
                number = self._known.get((day, terms), 0)
                if not number:
                    number = self._last = self._last + 1
                    self._known[day, terms] = number
                    fresh.append((day, number, terms))
            numbers.append(number)
        if len(self._known) > self.MOST:
            self._known.clear()
        return numbers, fresh

    @staticmethod
    def _of_records(batch: Batch) -> Iterator[tuple[int, bytes]]:
        return ((entry.record.day, entry.record.terms) for entry in batch.entries)
