"""The audit log."""

import sqlalchemy as sa
from alembic import op

revision = "catalog_0010"
down_revision = "catalog_0009"


def _text(name: str) -> sa.Column[str]:
    # Ids compare by their bytes in every database.
    collation = "C" if op.get_bind().dialect.name == "postgresql" else None
    return sa.Column(name, sa.Text(collation=collation), nullable=False)


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("n", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        *(_text(name) for name in ("org", "actor", "action", "kind", "id")),
        sa.Column("before", sa.LargeBinary, nullable=False),
        sa.Column("after", sa.LargeBinary, nullable=False),
        sa.Column("once", sa.Text, unique=True),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_index("audit_by_org", "audit", ["org", "n"])
    state = op.create_table(
        "audit_state",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.bulk_insert(state, [{"id": 1, "n": 0, "hash": b""}])


def downgrade() -> None:
    raise NotImplementedError("restore a backup to go back")
