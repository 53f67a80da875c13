"""Tables of the catalog. A value is stored as JSON, beside the columns by which it is found."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

metadata = MetaData()

meta = Table(
    "meta", metadata, Column("name", Text, primary_key=True), Column("value", Text, nullable=False)
)
plans = Table(
    "plans",
    metadata,
    Column("id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("spec", LargeBinary, nullable=False),
)
rate_cards = Table(
    "rate_cards",
    metadata,
    Column("id", Text, primary_key=True),
    Column("changes", BigInteger, nullable=False),
)
card_versions = Table(
    "card_versions",
    metadata,
    Column("card", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("spec", LargeBinary, nullable=False),
)
orgs = Table(
    "orgs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("plan", Text, nullable=False),
    Column("spec", LargeBinary, nullable=False),
    Index("orgs_by_plan", "plan"),
)
contracts = Table(
    "contracts",
    metadata,
    Column("org", Text, primary_key=True),
    Column("spec", LargeBinary, nullable=False),
)
members = Table(
    "members",
    metadata,
    Column("org", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("spec", LargeBinary, nullable=False),
)
limits = Table(
    "limits",
    metadata,
    Column("org", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("level", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("spec", LargeBinary, nullable=False),
    Index("limits_by_target", "org", "level", "target"),
)
credentials = Table(
    "credentials",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("org", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False, server_default="0"),
    Column("last_used_ms", BigInteger, nullable=False, server_default="0"),
    Column("networks", Text, nullable=False, server_default=""),
    Column("is_derived", Boolean, nullable=False, server_default="1"),
    Column("old_digest", Text, nullable=False, server_default=""),
    Column("old_until_ms", BigInteger, nullable=False, server_default="0"),
    Index("credentials_by_old_digest", "old_digest"),
)
answers = Table(
    "answers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False, server_default=""),
)
rulesets = Table(
    "rulesets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("name", Text, nullable=False, server_default=""),
)
ruleset_changes = Table(
    "ruleset_changes",
    metadata,
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("ruleset", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("percent", BigInteger, nullable=False),
    Column("author", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("reads", Text, nullable=False, server_default="[]"),
    Column("once", Text, nullable=False, server_default=""),
    Column("cuts", Text, nullable=False, server_default="[0,0,0]"),
    Column("rollback", Text, nullable=False, server_default=""),
)
"""Policy log: changes of rule sets and models in their order; rows are only ever added."""
models = Table(
    "models",
    metadata,
    Column("id", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("head", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)
"""Models as submitted, each with a description (`head`) that needs no parsing of the text."""
backtests = Table(
    "backtests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("ruleset", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("looked_at", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Column("result", LargeBinary, nullable=False),
)
"""Backtest jobs, running and finished."""
list_items = Table(
    "list_items",
    metadata,
    Column("list", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("n", BigInteger, nullable=False, unique=True),
    Column("expires_ms", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("is_gone", Boolean, nullable=False),
)
"""Items of lists, numbered in the order of their latest changes."""
list_state = Table(
    "list_state",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("n", BigInteger, nullable=False),
)
"""Number of the last list change. Raising it locks the row: changes commit in their order."""
labels = Table(
    "labels",
    metadata,
    Column("n", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("decision", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("observed_ms", BigInteger, nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
    Column("author", Text, nullable=False),
    Column("once", Text, unique=True),
    Column("digest", Text),
    Column("note", Text, nullable=False, server_default=""),
    Index("labels_by_decision", "decision", "n"),
)
"""Labels of decisions in the order in which they were recorded; rows are only ever added."""
audit = Table(
    "audit",
    metadata,
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    *(Column(name, Text, nullable=False) for name in ("org", "actor", "action", "kind", "id")),
    Column("before", LargeBinary, nullable=False),
    Column("after", LargeBinary, nullable=False),
    Column("once", Text, unique=True),
    Column("hash", LargeBinary, nullable=False),
    Index("audit_by_org", "org", "n"),
)
"""Changes that admins made, chained by hash; rows are only ever added."""
audit_state = Table(
    "audit_state",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("n", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
"""End of the audit log's chain. Raising `n` locks the row: changes commit in their order."""
matches = Table(
    "matches",
    metadata,
    Column("decision", Text, primary_key=True),
    Column("ruleset", Text, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("mode", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("org", Text, nullable=False),
    Column("day", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    Index("matches_by_day", "ruleset", "day"),
    Index("matches_by_outcome", "mode", "outcome", "at_ms"),
)
"""Projection of rule matches from the ledger."""
assessed = Table(
    "assessed",
    metadata,
    Column("ruleset", Text, primary_key=True),
    Column("mode", Text, primary_key=True),
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("requests", BigInteger, nullable=False),
)
"""Requests that a rule set assessed, by mode and day."""
matches_state = Table(
    "matches_state",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("row", BigInteger, nullable=False),
)
"""Cursor of the projection: all ledger rows before this one are in it."""
