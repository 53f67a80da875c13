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
    fresh.replace(to)
