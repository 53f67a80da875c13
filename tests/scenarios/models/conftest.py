"""A gateway of each file's own; no model scores, and no rule is in force, when a test begins."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.gateways import Caller, Gateway, running
from tests.scenarios.rules.rulebook import CARD, SWITCHED_S, USD


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running(tmp_path_factory.mktemp("models"), workers=2) as found:
        yield found


@pytest.fixture
async def caller(gateway: Gateway) -> AsyncIterator[Caller]:
    async with Caller(gateway.address) as found:
        await found.ok("PUT", "/v1/rate_cards/default/versions/v1", CARD)
        retired = False
        for kind in ("rulesets", "models"):
            for one in (await found.ok("GET", f"/v1/{kind}"))[kind]:
                if one["mode"] in ("active", "shadow"):
                    path = f"/v1/{kind}/{one['id']}/activate"
                    await found.ok("POST", path, {"mode": "retired"})
                    retired = True
        if retired:
            await asyncio.sleep(SWITCHED_S)
        yield found


@pytest.fixture
async def org(caller: Caller) -> str:
    return await caller.org(f"org-{secrets.token_hex(4)}", 1_000 * USD)
