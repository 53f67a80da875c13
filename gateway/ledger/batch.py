"""Turn stream records into the rows of one batch. Pure; each ledger database writes the rows.

Batches form a hash chain. The hash of a batch covers the previous hash and two digests of each
record: one of its source (what the store recorded) and one of its books (the charge and postings
that follow from it). The two kinds are digested separately, so that the chain can still be verified
after sources were pruned.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256

from msgspec import Struct, json, msgpack

from gateway.core import postings
from gateway.core.commands import Ended, Mode, Moved, Outcome
from gateway.core.decision import conclude
from gateway.core.postings import Posting
from gateway.core.reasons import Reason
from gateway.core.request_record import EndNote, RequestRecord
from gateway.errors import Bug
from gateway.ledger.pace import yielding
from gateway.wire import records
from gateway.wire.records import LOST, Decoded, StreamRecord

Position = tuple[int, int]
"""Position of a record in its shard: (epoch, seq)."""

DAY_MS = 86_400_000
MARK = 8
"""Stored bytes of each digest. They only name the changed record; the hash covers all of it."""

_pack = msgpack.Encoder().encode


class Head(Struct, frozen=True):
    """End of the chain: the last batch's number and hash, and the number of records up to it."""

    n: int = 0
    hash: bytes = bytes(32)
    rows: int = 0


class RecordRow(Struct, frozen=True, gc=False):
    """A record (decision, end of a hold, move of funds) with the columns by which it is found.

    `row` numbers all records of the ledger; `day` counts days since 1970 (UTC) of `at_ms`.
    """

    row: int
    day: int
    shard: int
    epoch: int
    seq: int
    kind: str
    id: str
    hold: str
    org: str
    book: str
    product: str
    at_ms: int
    allowed: bool
    reason: str
    held_micros: int
    terms: bytes
    out: bytes
    body: bytes
    kept: bytes

    @property
    def source(self) -> StreamRecord:
        """The record as the store recorded it."""
        at = (self.shard, self.epoch, self.seq)
        return StreamRecord(*at, self.kind, self.out, self.body, self.terms, self.kept)


class ChargeRow(Struct, frozen=True, gc=False):
    """The charge of a capture, in micros; `quantity` is JSON: unit → count."""

    row: int
    shard: int
    epoch: int
    seq: int
    org: str
    book: str
    product: str
    currency: str
    at_ms: int
    captured_micros: int
    shortfall_micros: int
    quantity: str


class PostingRow(Struct, frozen=True, gc=False):
    """The `n`th posting of a record."""

    row: int
    n: int
    shard: int
    epoch: int
    seq: int
    posting: Posting


class Entry(Struct, frozen=True, gc=False):
    """All rows of one record, and the decoded record that they follow from."""

    source: Decoded
    record: RecordRow
    charge: ChargeRow | None
    postings: tuple[PostingRow, ...]

    def digests(self) -> tuple[bytes, bytes]:
        """Return the digests of its source and of its books."""
        return source_digest(self.record), books_digest(self.charge, self.postings)


class Stored(Struct, frozen=True):
    """The stored rows of one record; only charge and postings if the record was pruned."""

    record: RecordRow | None
    charge: ChargeRow | None
    postings: tuple[PostingRow, ...]


class Batch(Struct, frozen=True):
    """Records that are written in one transaction, linked to the previous batch.

    `sources` and `books` are digests over the records' digests. `marks` has the first MARK bytes of
    both digests of each record. `moves` has each shard's position before (None: it had none) and
    after the batch.
    """

    n: int
    first_row: int
    at_ms: int
    hash: bytes
    sources: bytes
    books: bytes
    marks: bytes
    entries: tuple[Entry, ...]
    moves: dict[int, tuple[Position | None, Position]]

    @property
    def head(self) -> Head:
        """The end of the chain after this batch."""
        return Head(self.n, self.hash, self.first_row + len(self.entries))


@lru_cache(maxsize=8192)
def _terms_digest(terms: bytes) -> bytes:
    return sha256(terms).digest()


def source_digest(r: RecordRow) -> bytes:
    """Return the digest of a record's source, from which all else follows."""
    source = (r.shard, r.epoch, r.seq, r.kind, r.out, _terms_digest(r.terms), r.body, r.kept)
    return sha256(_pack(source)).digest()


def books_digest(charge: ChargeRow | None, moves: Iterable[PostingRow]) -> bytes:
    """Return the digest of a record's charge and postings; accounts enter by name."""
    lines = [(p.posting.debit, p.posting.credit, p.posting.amount_micros) for p in moves]
    return sha256(_pack((charge, lines))).digest()


def summed(digests: Iterable[bytes]) -> bytes:
    """Return one digest over many, in their order."""
    return sha256(b"".join(digests)).digest()


def link(before: bytes, n: int, sources: bytes, books: bytes) -> bytes:
    """Return the hash of batch `n`, which follows a batch with the hash `before`."""
    return sha256(b"".join((before, n.to_bytes(8, "big"), sources, books))).digest()


def make_batch(
    head: Head, lines: list[StreamRecord], moves: dict[int, tuple[Position | None, Position]]
) -> Batch:
    """Build the batch of these records after `head`."""
    entries = tuple([entry(record, head.rows + i) for i, record in enumerate(yielding(lines))])
    digests = [e.digests() for e in yielding(entries)]
    sources, books = summed(s for s, _ in digests), summed(b for _, b in digests)
    n, at_ms = head.n + 1, max(e.record.at_ms for e in entries)
    marks = b"".join([digest[:MARK] for pair in digests for digest in pair])
    hashed = link(head.hash, n, sources, books)
    return Batch(n, head.rows, at_ms, hashed, sources, books, marks, entries, moves)


def entry(record: StreamRecord, row: int) -> Entry:
    """Build the rows of one record. Raises Bug for a kind that it does not know."""
    source = records.read(record)
    out, note = source.out, source.note
    if isinstance(out, Outcome) and isinstance(note, RequestRecord):
        return _of_outcome(source, row, out, note)
    if isinstance(out, Ended):
        return _of_ended(source, row, out, note if isinstance(note, EndNote) else None)
    if isinstance(out, Moved):
        of = (out.id, "", out.org, out.org, "")
        line = _row(record, row, of, out.now_ms, True, out.kind, 0)
        return Entry(source, line, None, _moves(line, postings.of_moved(out)))
    if out is not None:
        raise Bug(f"a record of kind {record.kind} cannot be read")
    return Entry(source, _row(record, row, ("", "", "", "", ""), 0, False, LOST, 0), None, ())


def _row(
    record: StreamRecord,
    row: int,
    of: tuple[str, str, str, str, str],
    at_ms: int,
    allowed: bool,
    reason: str,
    held: int,
) -> RecordRow:
    return RecordRow(
        row,
        at_ms // DAY_MS,
        record.shard,
        record.epoch,
        record.seq,
        record.kind,
        *of,
        at_ms,
        allowed,
        reason,
        held,
        record.terms,
        record.out,
        record.body,
        record.kept,
    )


def _moves(line: RecordRow, moves: list[Posting]) -> tuple[PostingRow, ...]:
    at = (line.shard, line.epoch, line.seq)
    return tuple([PostingRow(line.row, n, *at, posting) for n, posting in enumerate(moves)])


def _of_outcome(source: Decoded, row: int, out: Outcome, asked: RequestRecord) -> Entry:
    terms, reason = asked.terms, ""
    if not out.allowed:
        reasons = conclude(asked, out).reasons
        reason = Reason(reasons[0].code).name if reasons else ""
    holds = out.allowed and asked.mode == Mode.HOLD
    of = (asked.id, asked.hold_id if holds else "", terms.org, terms.book, terms.product)
    held = asked.amount if holds else 0
    line = _row(source.line, row, of, out.now_ms, out.allowed, reason, held)
    charge = None
    if out.allowed and asked.mode == Mode.CAPTURE:
        whose = (terms.org, terms.book, terms.product, terms.currency)
        charge = _charge(line, whose, asked.amount, 0, asked.quantity)
    return Entry(source, line, charge, _moves(line, postings.of_outcome(asked, out)))


def _of_ended(source: Decoded, row: int, out: Ended, note: EndNote | None) -> Entry:
    of = (out.hold_id, out.hold_id, out.org, out.book, out.product)
    status = ("held", "captured", "released", "expired")[out.status]
    line = _row(source.line, row, of, out.now_ms, True, status, 0)
    charge = None
    if status == "captured":
        whose = (out.org, out.book, out.product, out.currency)
        quantity = note.quantity if note else None
        charge = _charge(line, whose, out.captured, out.shortfall, quantity)
    return Entry(source, line, charge, _moves(line, postings.of_ended(out)))


def _charge(
    line: RecordRow,
    whose: tuple[str, str, str, str],
    captured: int,
    shortfall: int,
    quantity: dict[str, int] | None,
) -> ChargeRow:
    at = (line.row, line.shard, line.epoch, line.seq)
    text = json.encode(quantity or {}).decode()
    return ChargeRow(*at, *whose, line.at_ms, captured, shortfall, text)
