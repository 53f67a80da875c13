"""Rule sets and what became of them."""

import sqlalchemy as sa
from alembic import op

revision = "catalog_0002"
down_revision = "catalog_0001"


def upgrade() -> None:
    op.create_table(
        "rulesets",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "ruleset_changes",
        sa.Column("n", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("ruleset", sa.Text, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("percent", sa.BigInteger, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup to go back")
