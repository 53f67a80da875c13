"""Models, and what their scores bring about."""

import sqlalchemy as sa
from alembic import op

revision = "catalog_0008"
down_revision = "catalog_0007"


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("head", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
    )
    op.add_column(
        "ruleset_changes", sa.Column("cuts", sa.Text, nullable=False, server_default="[0,0,0]")
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup to go back")
