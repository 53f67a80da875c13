"""Matches of rules, and the number of requests they saw."""

import sqlalchemy as sa
from alembic import op

revision = "catalog_0004"
down_revision = "catalog_0003"


def upgrade() -> None:
    op.create_table(
        "matches",
        sa.Column("decision", sa.Text, primary_key=True),
        sa.Column("ruleset", sa.Text, primary_key=True),
        sa.Column("rule", sa.Text, primary_key=True),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("org", sa.Text, nullable=False),
        sa.Column("day", sa.BigInteger, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("amount_micros", sa.BigInteger, nullable=False),
    )
    op.create_index("matches_by_day", "matches", ["ruleset", "day"])
    op.create_index("matches_by_outcome", "matches", ["mode", "outcome", "at_ms"])
    op.create_table(
        "assessed",
        sa.Column("ruleset", sa.Text, primary_key=True),
        sa.Column("mode", sa.Text, primary_key=True),
        sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "matches_state",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("row", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO matches_state VALUES (1, 0)")


def downgrade() -> None:
    raise NotImplementedError("restore a backup to go back")
