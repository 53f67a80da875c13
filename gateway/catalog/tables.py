"""What every part of the catalog does with its database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.errors import Unavailable


class Tables:
    """Some tables of the catalog. Every method raises Unavailable when SQL does not answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction, which is committed at the end."""
        try:
            async with self._engine.begin() as connection:
                yield connection
        except (OperationalError, OSError) as error:
            raise Unavailable("catalog_unavailable", "the catalog does not answer") from error
