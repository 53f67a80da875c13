"""Credentials that expire and rotate; names and notes; ids that compare by bytes."""

import sqlalchemy as sa
from alembic import op

revision = "catalog_0009"
down_revision = "catalog_0008"

IDS = (
    ("orgs", "id"),
    ("contracts", "org"),
    ("members", "org"),
    ("members", "id"),
    ("limits", "org"),
    ("limits", "id"),
    ("limits", "target"),
    ("credentials", "org"),
    ("matches", "org"),
)


def upgrade() -> None:
    for name, kind, default in (
        ("expires_ms", sa.BigInteger, "0"),
        ("last_used_ms", sa.BigInteger, "0"),
        ("networks", sa.Text, ""),
        # Those there are were derived from a secret that the catalog held.
        ("is_derived", sa.Boolean, sa.true()),
        ("old_digest", sa.Text, ""),
        ("old_until_ms", sa.BigInteger, "0"),
    ):
        column = sa.Column(name, kind, nullable=False, server_default=default)
        op.add_column("credentials", column)
    op.create_index("credentials_by_old_digest", "credentials", ["old_digest"])
    op.add_column("answers", sa.Column("sealed", sa.LargeBinary, nullable=False, server_default=""))
    op.add_column("rulesets", sa.Column("name", sa.Text, nullable=False, server_default=""))
    op.add_column("labels", sa.Column("note", sa.Text, nullable=False, server_default=""))
    op.execute("INSERT INTO meta (name, value) VALUES ('credentials', '')")
    if op.get_bind().dialect.name == "postgresql":
        for table, column_name in IDS:
            op.execute(f'ALTER TABLE {table} ALTER COLUMN {column_name} TYPE text COLLATE "C"')


def downgrade() -> None:
    raise NotImplementedError("restore a backup to go back")
