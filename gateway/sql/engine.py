"""Database engines: SQLite, durable and shared by processes, or PostgreSQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gateway.errors import OperatorError
from gateway.settings import redacted

Engine = AsyncEngine
"""The name under which other rooms hold a database."""

ASYNC_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}


def open_engine(url: str, *, connections: int = 4) -> AsyncEngine:
    """Create an engine for sqlite:///… or postgresql://…; it connects at first use.

    SQLite runs in WAL mode with synchronous=FULL: a commit survives a power cut. Raises
    OperatorError for any other URL.
    """
    scheme, found, rest = url.partition("://")
    if not found or scheme not in ASYNC_DRIVERS:
        raise OperatorError(
            "bad_sql_url",
            f"a database url must start with sqlite:/// or postgresql://, not {redacted(url)!r}",
        )
    try:
        engine = create_async_engine(
            f"{ASYNC_DRIVERS[scheme]}://{rest}",
            pool_size=connections,
            # Errors are logged, and parameters hold digests of secrets and ids of people.
            hide_parameters=True,
        )
    except (ArgumentError, ValueError) as error:
        detail = f"the database url {redacted(url)!r} cannot be read: {error}"
        raise OperatorError("bad_sql_url", detail) from None
    if scheme == "sqlite":
        event.listen(
            engine.sync_engine, "connect", lambda connection, _: prepare_sqlite(connection)
        )
    return engine


def prepare_sqlite(connection: Any) -> None:
    """Make a connection durable and let it wait for locks (10 s); WAL mode stays with the file."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 10000")
    # Has an effect on new files only. Rows are about a kilobyte and fit better into 16 KiB pages
    # than into 4 KiB: a quarter less work a row.
    cursor.execute("PRAGMA page_size = 16384")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    # 1000 pages are at most 16 MiB of log: fewer checkpoints, each of which waits for the disk.
    cursor.execute("PRAGMA wal_autocheckpoint = 1000")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()
