"""Tables of the ledger: records, charges and postings, linked by (shard, epoch, seq) and `row`.

`records` hold requests and the reasons of their decisions, `charges` what was charged, `postings`
how balances moved. `accounts` carry running totals, `batches` the hash chain, `cursors` the
writer's progress. Records and the terms they were made under are stored by day; nothing else is
ever pruned.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

metadata = MetaData()
_EXPIRES = text("expires_ms > 0")


def _number(name: str, *, key: bool = False) -> Column[int]:
    return Column(name, BigInteger, primary_key=key, nullable=False, autoincrement=False)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _blob(name: str) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=False)


def _position() -> list[Column[int]]:
    return [
        Column("shard", Integer, nullable=False),
        Column("epoch", Integer, nullable=False),
        _number("seq"),
    ]


records = Table(
    "records",
    metadata,
    _number("row", key=True),
    Column("day", Integer, nullable=False),
    *_position(),
    *(_text(name) for name in ("kind", "id", "hold", "org", "book", "product")),
    _number("at_ms"),
    Column("allowed", Boolean, nullable=False),
    _text("reason"),
    _number("held_micros"),
    _number("terms"),
    *(_blob(name) for name in ("out", "body", "kept")),
)
"""A partitioned table in PostgreSQL, a view over one table a day in SQLite."""
terms = Table(
    "terms",
    metadata,
    Column("day", Integer, primary_key=True),
    _number("id", key=True),
    _blob("body"),
)
charges = Table(
    "charges",
    metadata,
    _number("row", key=True),
    *_position(),
    *(_text(name) for name in ("org", "book", "product", "currency")),
    _number("at_ms"),
    _number("captured_micros"),
    _number("shortfall_micros"),
    _text("quantity"),
    Index("charges_by_org", "org", "at_ms"),
)
postings = Table(
    "postings",
    metadata,
    _number("row", key=True),
    Column("n", Integer, primary_key=True),
    *_position(),
    Column("debit", Integer, nullable=False),
    Column("credit", Integer, nullable=False),
    _number("amount_micros"),
    sqlite_with_rowid=False,
)
accounts = Table(
    "accounts",
    metadata,
    Column("id", Integer, primary_key=True),
    *(_text(name) for name in ("book", "kind", "ref", "currency")),
    # Totals in halves, the lower one of 32 bits: a collective account may exceed 64 bits.
    *(_number(f"{side}_{half}") for side in ("debits", "credits") for half in ("high", "low")),
    Index("accounts_by_name", "book", "kind", "ref", "currency", unique=True),
)
batches = Table(
    "batches",
    metadata,
    _number("n", key=True),
    _number("first_row"),
    _number("rows"),
    _number("at_ms"),
    *(_blob(name) for name in ("hash", "sources", "books", "marks")),
    Index("batches_by_time", "at_ms"),
)
cursors = Table(
    "cursors",
    metadata,
    Column("shard", Integer, primary_key=True),
    Column("epoch", Integer, nullable=False),
    _number("seq"),
    # Position of the last record; after the start of a new epoch it is of an older epoch.
    Column("last_epoch", Integer, nullable=False),
    _number("last_seq"),
)
checks = Table(
    "checks",
    metadata,
    Column("book", Text, primary_key=True),
    *(_number(name) for name in ("holds", "held_high", "held_low", "charged_high", "charged_low")),
)
"""Sums of a book's records and charges up to the row in `check_state`."""
check_state = Table(
    "check_state", metadata, Column("id", Integer, primary_key=True), _number("row")
)
deployment = Table("deployment", metadata, Column("n", Integer, primary_key=True), _text("id"))
"""The deployment that the ledger belongs to: one row."""
pruned = Table(
    "pruned",
    metadata,
    Column("day", Integer, primary_key=True),
    _number("rows"),
    _number("at_ms"),
    _text("exported_to"),
)
"""Days whose records were removed."""
hot = Table(
    "hot",
    metadata,
    Column("shard", Integer, primary_key=True),
    *(Column(name, Text, primary_key=True) for name in ("kind", "org", "name")),
    *(_number(name) for name in ("a", "b", "expires_ms")),
    _blob("data"),
    Index("hot_by_expiry", "expires_ms", sqlite_where=_EXPIRES, postgresql_where=_EXPIRES),
    sqlite_with_rowid=False,
)
"""State that a store is rebuilt from, as of the row in `hot_state`; see hot.py."""
hot_state = Table("hot_state", metadata, Column("id", Integer, primary_key=True), _number("row"))
