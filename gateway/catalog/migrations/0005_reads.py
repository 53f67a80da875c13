"""Counters that a rule set reads, and the call that made a change."""

import sqlalchemy as sa
from alembic import op

revision = "catalog_0005"
down_revision = "catalog_0004"


def upgrade() -> None:
    op.add_column(
        "ruleset_changes", sa.Column("reads", sa.Text, nullable=False, server_default="[]")
    )
    op.add_column("ruleset_changes", sa.Column("once", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    raise NotImplementedError("restore a backup to go back")
