"""The decision log by day: tables under one view in SQLite, partitions in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

COLUMNS = (
    "row BIGINT",
    "day INTEGER",
    "shard INTEGER",
    "epoch INTEGER",
    "seq BIGINT",
    *(f"{name} TEXT" for name in ("kind", "id", "hold", "org", "book", "product")),
    "at_ms BIGINT",
    "allowed BOOLEAN",
    "reason TEXT",
    "held_micros BIGINT",
    "terms BIGINT",
    *(f"{name} {{blob}}" for name in ("out", "body", "kept")),
)
ADMIN = "kind IN ('grant', 'void', 'adjust', 'event')"
"""Kinds of records made outside requests; their results are stored for a day, by key."""
NAMES = tuple(column.split()[0] for column in COLUMNS)
RECORDS = ", ".join(f"{column.format(blob='BYTEA')} NOT NULL" for column in COLUMNS)
"""Column declarations of records in PostgreSQL."""


def date_of(day: int) -> str:
    """Format a day, counted since 1970, as YYYYMMDD."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).strftime("%Y%m%d")


def day_of(table: str) -> int:
    """Return the day of a table of records, counted since 1970."""
    at = datetime.strptime(table.removeprefix("records_"), "%Y%m%d").replace(tzinfo=UTC)
    return (at - datetime(1970, 1, 1, tzinfo=UTC)).days


def table_of(day: int) -> str:
    """Return the name of the table or partition of a day's records."""
    return f"records_{date_of(day)}"


def create_table(day: int) -> list[str]:
    """Return the statements that create a day's table in SQLite, with its indexes."""
    columns = [f"{column.format(blob='BLOB')} NOT NULL" for column in COLUMNS]
    columns[0] = "row INTEGER PRIMARY KEY"
    name = table_of(day)
    return [
        f"CREATE TABLE {name} ({', '.join(columns)})",
        f"CREATE INDEX {name}_by_id ON {name} (id)",
        f"CREATE INDEX {name}_extends ON {name} (hold) WHERE kind = 'extend'",
        f"CREATE INDEX {name}_admin ON {name} (row) WHERE {ADMIN}",
    ]


def create_view(days: Sequence[int]) -> str:
    """Return the statement that creates the view of these days in SQLite; empty without days."""
    columns = ", ".join(NAMES)
    selects = [f"SELECT {columns} FROM {table_of(day)}" for day in days]  # noqa: S608  our names
    if not selects:
        nothing = ", ".join(f"NULL AS {name}" for name in NAMES)
        selects = [f"SELECT {nothing} WHERE 0"]
    return f"CREATE VIEW records AS {' UNION ALL '.join(selects)}"


def create_partition(day: int) -> str:
    """Return the statement that creates a day's partition in PostgreSQL."""
    bounds = f"FOR VALUES FROM ({day}) TO ({day + 1})"
    return f"CREATE TABLE IF NOT EXISTS {table_of(day)} PARTITION OF records {bounds}"
