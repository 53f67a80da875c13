"""Rollbacks of policies by an identity of their own, not by the beginning of a note."""

import sqlalchemy as sa
from alembic import op

revision = "catalog_0011"
down_revision = "catalog_0010"


def upgrade() -> None:
    column = sa.Column("rollback", sa.Text, nullable=False, server_default="")
    op.add_column("ruleset_changes", column)
    # Notes that began so were a rollback's own; all rows of one rollback had its note and time.
    op.execute(
        "UPDATE ruleset_changes SET rollback = note || ' ' || CAST(at_ms AS TEXT)"
        " WHERE note LIKE 'rolled back%'"
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup to go back")
