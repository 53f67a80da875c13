"""Lists, as the log of their items."""

import sqlalchemy as sa
from alembic import op

revision = "catalog_0006"
down_revision = "catalog_0005"


def upgrade() -> None:
    op.create_table(
        "list_items",
        sa.Column("list", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("n", sa.BigInteger, nullable=False, unique=True),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("is_gone", sa.Boolean, nullable=False),
    )
    op.create_table(
        "list_state",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO list_state VALUES (1, 0)")


def downgrade() -> None:
    raise NotImplementedError("restore a backup to go back")
