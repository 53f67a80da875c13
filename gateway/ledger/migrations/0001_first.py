"""The first schema of the ledger."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from gateway.ledger.days import ADMIN, RECORDS, create_view

revision = "ledger_0001"
down_revision = None


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False)


def _number(name: str, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, primary_key=key, nullable=False, autoincrement=False)


def _small(name: str, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer, primary_key=key, nullable=False, autoincrement=False)


def _blob(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.LargeBinary, nullable=False)


def _position() -> list[sa.Column[Any]]:
    return [_small("shard"), _small("epoch"), _number("seq")]


def upgrade() -> None:
    _records()
    _books()
    _chain()
    _checks()
    _hot_state()


def _records() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(create_view([]))
    else:
        op.execute(f"CREATE TABLE records ({RECORDS}) PARTITION BY RANGE (day)")
        op.execute("CREATE INDEX records_by_id ON records (id)")
        op.execute("CREATE INDEX extends_by_hold ON records (hold) WHERE kind = 'extend'")
        op.execute("CREATE INDEX records_by_row ON records (row)")
        op.execute(f"CREATE INDEX admin_by_row ON records (row) WHERE {ADMIN}")
    op.create_table("terms", _small("day", key=True), _number("id", key=True), _blob("body"))


def _books() -> None:
    op.create_table(
        "charges",
        _number("row", key=True),
        *_position(),
        *(_text(name) for name in ("org", "book", "product", "currency")),
        *(_number(name) for name in ("at_ms", "captured_micros", "shortfall_micros")),
        _text("quantity"),
    )
    op.create_index("charges_by_org", "charges", ["org", "at_ms"])
    op.create_table(
        "postings",
        *(_number("row", key=True), _small("n", key=True)),
        *_position(),
        *(_small("debit"), _small("credit"), _number("amount_micros")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.Integer, primary_key=True),
        *(_text(name) for name in ("book", "kind", "ref", "currency")),
        *(_number(f"{side}_{half}") for side in ("debits", "credits") for half in ("high", "low")),
    )
    name = ["book", "kind", "ref", "currency"]
    op.create_index("accounts_by_name", "accounts", name, unique=True)


def _chain() -> None:
    op.create_table(
        "batches",
        _number("n", key=True),
        *(_number(name) for name in ("first_row", "rows", "at_ms")),
        *(_blob(name) for name in ("hash", "sources", "books", "marks")),
    )
    op.create_index("batches_by_time", "batches", ["at_ms"])
    op.create_table(
        "cursors",
        *(_small("shard", key=True), _small("epoch"), _number("seq")),
        *(_small("last_epoch"), _number("last_seq")),
    )


def _checks() -> None:
    sums = [f"{name}_{half}" for name in ("held", "charged") for half in ("high", "low")]
    op.create_table(
        "checks",
        sa.Column("book", sa.Text, primary_key=True),
        *(_number(name) for name in ("holds", *sums)),
    )
    op.create_table("check_state", _small("id", key=True), _number("row"))
    op.execute("INSERT INTO check_state VALUES (1, 0)")


def _hot_state() -> None:
    op.create_table(
        "pruned", _small("day", key=True), _number("rows"), _number("at_ms"), _text("exported_to")
    )
    op.create_table(
        "hot",
        _small("shard", key=True),
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("kind", "org", "name")),
        *(_number(name) for name in ("a", "b", "expires_ms")),
        _blob("data"),
        sqlite_with_rowid=False,
    )
    expires = sa.text("expires_ms > 0")
    op.create_index(
        "hot_by_expiry", "hot", ["expires_ms"], sqlite_where=expires, postgresql_where=expires
    )
    op.create_table("hot_state", _small("id", key=True), _number("row"))
    op.execute("INSERT INTO hot_state VALUES (1, 0)")


def downgrade() -> None:
    raise NotImplementedError("restore a backup to go back")
