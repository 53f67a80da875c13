"""Labels of decisions."""

import sqlalchemy as sa
from alembic import op

revision = "catalog_0003"
down_revision = "catalog_0002"


def upgrade() -> None:
    op.create_table(
        "labels",
        sa.Column("n", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("observed_ms", sa.BigInteger, nullable=False),
        sa.Column("recorded_ms", sa.BigInteger, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("once", sa.Text, unique=True),
        sa.Column("digest", sa.Text),
    )
    op.create_index("labels_by_decision", "labels", ["decision", "n"])


def downgrade() -> None:
    raise NotImplementedError("restore a backup to go back")
