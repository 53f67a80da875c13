"""A catalog in each database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.sql.engine import Engine, open_engine
from gateway.sql.migrate import migrate
from tests.databases import Postgres


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def engine(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres
) -> AsyncIterator[Engine]:
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'catalog.db'}" if is_sqlite else postgres.database()
    found = open_engine(url)
    await migrate(found, "catalog")
    yield found
    await found.dispose()
