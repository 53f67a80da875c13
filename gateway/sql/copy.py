"""Copies of SQLite databases that others are writing to."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def copy_sqlite(source: Path, to: Path) -> None:
    """One moment of a database, whoever writes to it meanwhile; whole, or not there at all."""
    fresh = to.with_suffix(".new")
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(fresh)) as new:
        old.backup(new)
        # A copy is one file: without a log beside it that a later copy could leave behind.
        new.execute("PRAGMA journal_mode = DELETE")
    fresh.replace(to)


def check_sqlite(path: Path) -> str:
    """What is wrong with a database file, "" where it is whole."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as found:
            said: str = found.execute("PRAGMA integrity_check").fetchone()[0]
            has_orgs = found.execute("SELECT count(*) FROM orgs").fetchone() is not None
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if said == "ok" and has_orgs else said


def fact_in(path: Path, name: str) -> str:
    """A fact of the deployment in a copied catalog, which stays as it is; "" where it has none."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as found:
        row = found.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return str(row[0]) if row else ""
