"""A gateway of a file's own: for moved clocks, built-in lists, or questions about all there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateways import Gateway, running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One that nobody else asks anything of."""
    with running(tmp_path_factory.mktemp("alone"), workers=2) as found:
        yield found
