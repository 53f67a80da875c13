"""A gateway that ends with the scenarios, and what they read beside the answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateways import Gateway, priced
from tests.scenarios.books import Books


@pytest.fixture(scope="package")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Two workers, prices, for this directory: each test has its own orgs."""
    with priced(tmp_path_factory.mktemp("gateway")) as found:
        yield found


@pytest.fixture
def books(gateway: Gateway) -> Books:
    """The ledger of the scenarios' gateway."""
    return Books(gateway)
