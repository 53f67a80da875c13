"""Database access shared by all tables of the catalog."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.errors import Unavailable

OURS = (IntegrityError, ProgrammingError, DataError)
"""Errors that a statement itself causes; all others mean that the database does not answer."""


class Tables:
    """Base of the catalog's tables. Every method raises Unavailable if SQL does not answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[AsyncConnection]:
        with _answering():
            async with self._engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def _write(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that commits at the end of the block."""
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
