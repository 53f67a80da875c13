"""What scenarios read beside the answers."""

from __future__ import annotations

import pytest

from tests.gateways import Gateway
from tests.scenarios.books import Books


@pytest.fixture
def books(gateway: Gateway) -> Books:
    """The ledger of the session's gateway."""
    return Books(gateway)
