"""Real parts, started once a session."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.store.embedded import EmbeddedStore


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
