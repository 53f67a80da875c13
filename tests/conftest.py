"""Real parts, started once a session."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.store.embedded import EmbeddedStore
from tests import failures
from tests.databases import Postgres
from tests.gateways import Caller, Gateway

# Before whatever trains is imported. Tests run two at a time: threads of one that trains would wait
# for each other, busily, while the other has the processor. It is handed on to processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    failures.listen(config)


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Valkey for this session."""
    directory: Path = tmp_path_factory.mktemp("valkey")
    loop = asyncio.new_event_loop()
    store = EmbeddedStore(directory, print)
    loop.run_until_complete(store.start())
    yield store.url
    loop.run_until_complete(store.stop())
    loop.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL for this session."""
    with Postgres() as found:
        yield found


@pytest_asyncio.fixture
async def caller(gateway: Gateway) -> AsyncIterator[Caller]:
    """An admin who calls the gateway of the package."""
    async with Caller(gateway.address) as found:
        yield found


@pytest.fixture
def org(request: pytest.FixtureRequest) -> str:
    """An org id of this test's own."""
    return f"org-{abs(hash(request.node.nodeid)) % 10**12}"
