"""The deployment a ledger belongs to; ids that compare by bytes."""

import sqlalchemy as sa
from alembic import op

revision = "ledger_0002"
down_revision = "ledger_0001"


IDS = (("accounts", "book"), ("checks", "book"), ("hot", "org"), ("hot", "name"))


def upgrade() -> None:
    op.create_table(
        "deployment",
        sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        for table, column in IDS:
            op.execute(f'ALTER TABLE {table} ALTER COLUMN {column} TYPE text COLLATE "C"')


def downgrade() -> None:
    raise NotImplementedError("restore a backup to go back")
