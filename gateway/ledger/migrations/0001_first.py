"""The first schema of the ledger."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "ledger_0001"
down_revision = None


def _position() -> list[sa.Column[Any]]:
    return [
        sa.Column("shard", sa.Integer, primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True),
    ]


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False)


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _blob(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.LargeBinary, nullable=False)


def upgrade() -> None:
    op.create_table(
        "records",
        *_position(),
        *(_text(name) for name in ("kind", "id", "hold", "org", "book", "product")),
        _number("at_ms"),
        sa.Column("allowed", sa.Boolean, nullable=False),
        _text("reason"),
        _number("held_micros"),
        _blob("out"),
        _blob("body"),
        sqlite_with_rowid=False,
    )
    op.create_index("records_by_id", "records", ["id"])
    extends = sa.text("kind = 'extend'")
    op.create_index(
        "extends_by_hold", "records", ["hold"], sqlite_where=extends, postgresql_where=extends
    )
    op.create_table(
        "charges",
        *_position(),
        *(_text(name) for name in ("org", "book", "product", "currency")),
        *(_number(name) for name in ("at_ms", "captured_micros", "shortfall_micros")),
        _text("quantity"),
        sqlite_with_rowid=False,
    )
    op.create_index("charges_by_org", "charges", ["org", "at_ms"])
    op.create_table(
        "postings",
        *_position(),
        sa.Column("n", sa.Integer, primary_key=True),
        sa.Column("debit", sa.Integer, nullable=False),
        sa.Column("credit", sa.Integer, nullable=False),
        _number("amount_micros"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.Integer, primary_key=True),
        *(_text(name) for name in ("book", "kind", "ref", "currency")),
        *(_number(f"{side}_{half}") for side in ("debits", "credits") for half in ("high", "low")),
    )
    op.create_index(
        "accounts_by_name", "accounts", ["book", "kind", "ref", "currency"], unique=True
    )
    op.create_table(
        "cursors",
        sa.Column("shard", sa.Integer, primary_key=True),
        sa.Column("epoch", sa.Integer, nullable=False),
        _number("seq"),
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup to go back")
