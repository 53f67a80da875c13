"""Copies of SQLite databases that are in use."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def copy_sqlite(source: Path, to: Path) -> None:
    """Copy a database as of one point in time, while others write to it.

    The copy appears under its name only when it is complete.
    """
    fresh = to.with_suffix(".new")
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(fresh)) as new:
        old.backup(new)
        # A copy is a single file: a write-ahead log beside it could outlive it and then be
        # replayed into a later copy of the same name.
        new.execute("PRAGMA journal_mode = DELETE")
    fresh.replace(to)


def check_sqlite(path: Path) -> str:
    """Return the fault of a catalog file, "" if it is intact."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as found:
            said: str = found.execute("PRAGMA integrity_check").fetchone()[0]
            has_orgs = found.execute("SELECT count(*) FROM orgs").fetchone() is not None
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if said == "ok" and has_orgs else said


def fact_in(path: Path, name: str) -> str:
    """Return a fact of the deployment from a copied catalog, "" if it has none; opens read-only."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as found:
        row = found.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return str(row[0]) if row else ""
