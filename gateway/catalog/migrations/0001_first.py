"""The first schema of the catalog."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "catalog_0001"
down_revision = None


def _key(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, primary_key=True)


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=False)


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _spec() -> sa.Column[Any]:
    return sa.Column("spec", sa.LargeBinary, nullable=False)


def upgrade() -> None:
    op.create_table("meta", _key("name"), _text("value"))
    op.create_table("plans", _key("id"), _number("version"), _spec())
    op.create_table("rate_cards", _key("id"), _number("changes"))
    op.create_table("card_versions", _key("card"), _key("version"), _spec())
    op.create_table("orgs", _key("id"), _number("version"), _text("plan"), _spec())
    op.create_index("orgs_by_plan", "orgs", ["plan"])
    op.create_table("contracts", _key("org"), _spec())
    op.create_table("members", _key("org"), _key("kind"), _key("id"), _spec())
    op.create_table(
        "limits", _key("org"), _key("kind"), _key("id"), _text("level"), _text("target"), _spec()
    )
    op.create_index("limits_by_target", "limits", ["org", "level", "target"])
    op.create_table(
        "credentials",
        _key("id"),
        _text("name"),
        _text("scopes"),
        _text("org"),
        sa.Column("digest", sa.Text, nullable=False, unique=True),
        _number("created_ms"),
    )
    op.create_table("answers", _key("name"), _text("digest"), _text("ref"), _number("expires_ms"))


def downgrade() -> None:
    raise NotImplementedError("restore a backup to go back")
