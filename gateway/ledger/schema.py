"""The ledger's tables: three linked datasets under one (shard, epoch, seq).

`records` say what was asked and why it was decided, `charges` what it is charged, `postings` how
balances moved. `accounts` carry running totals; `cursors` how far the writer came.
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
_EXTENDS = text("kind = 'extend'")


def _position() -> list[Column[int]]:
    return [
        Column("shard", Integer, primary_key=True),
        Column("epoch", Integer, primary_key=True),
        Column("seq", BigInteger, primary_key=True),
    ]


records = Table(
    "records",
    metadata,
    *_position(),
    Column("kind", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("hold", Text, nullable=False),
    Column("org", Text, nullable=False),
    Column("book", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("allowed", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("held_micros", BigInteger, nullable=False),
    Column("out", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("records_by_id", "id"),
    # A hold's decision and its end are found by id; only what extended it needs an index more.
    Index("extends_by_hold", "hold", sqlite_where=_EXTENDS, postgresql_where=_EXTENDS),
    sqlite_with_rowid=False,
)
charges = Table(
    "charges",
    metadata,
    *_position(),
    Column("org", Text, nullable=False),
    Column("book", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("captured_micros", BigInteger, nullable=False),
    Column("shortfall_micros", BigInteger, nullable=False),
    Column("quantity", Text, nullable=False),
    Index("charges_by_org", "org", "at_ms"),
    sqlite_with_rowid=False,
)
postings = Table(
    "postings",
    metadata,
    *_position(),
    Column("n", Integer, primary_key=True),
    Column("debit", Integer, nullable=False),
    Column("credit", Integer, nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
accounts = Table(
    "accounts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("book", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("currency", Text, nullable=False),
    # Totals in halves of 32 bits: a collective account may pass what one SQL integer holds.
    *(
        Column(f"{side}_{half}", BigInteger, nullable=False)
        for side in ("debits", "credits")
        for half in ("high", "low")
    ),
    Index("accounts_by_name", "book", "kind", "ref", "currency", unique=True),
)
cursors = Table(
    "cursors",
    metadata,
    Column("shard", Integer, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),
)
