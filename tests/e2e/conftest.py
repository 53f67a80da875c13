"""A gateway that ends with these tests: one that idles takes a tenth of a processor from others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateways import Gateway, priced


@pytest.fixture(scope="package")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Two workers, prices, for this directory: each test has its own orgs."""
    with priced(tmp_path_factory.mktemp("gateway")) as found:
        yield found
