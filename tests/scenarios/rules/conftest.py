"""A gateway of the rules' own, as they decide for all; nothing is in force when a test begins."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.gateways import Caller, Gateway, running
from tests.scenarios.rules.rulebook import CARD, USD, nothing_in_force


@pytest.fixture(scope="package")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One for all files but those with one of their own (alone.py): each test has its own orgs."""
    with running(tmp_path_factory.mktemp("rules"), workers=2) as found:
        yield found


@pytest.fixture
async def caller(gateway: Gateway) -> AsyncIterator[Caller]:
    """Nothing is in force, and `acme` is a name for an org of the test's own."""
    async with Caller(gateway.address) as found:
        await found.ok("PUT", "/v1/rate_cards/default/versions/v1", CARD)
        await nothing_in_force(found)
        yield found


@pytest.fixture
async def org(caller: Caller) -> str:
    return await caller.org(f"org-{secrets.token_hex(4)}", 1_000 * USD)
