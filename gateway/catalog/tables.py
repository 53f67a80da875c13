"""What every part of the catalog does with its database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.errors import Unavailable

OURS = (IntegrityError, ProgrammingError, DataError)
"""Faults that tell of what was asked; all others, of a database that does not answer."""


class Tables:
    """Some tables of the catalog. Every method raises Unavailable when SQL does not answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[AsyncConnection]:
        with _answering():
            async with self._engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def _write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end."""
        with _answering():
            async with self._engine.begin() as connection:
                yield connection


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, OSError) as error:
        if isinstance(error, OURS):
            raise
        raise Unavailable("catalog_unavailable", "the catalog does not answer") from error
