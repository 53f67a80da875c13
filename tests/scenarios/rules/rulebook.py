"""Rules in scenarios: how they are written and put in force, and the gateway they decide for."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.gateways import Caller, Gateway, running

CENT = 10_000
USD = 100 * CENT


def rule(name: str, action: str, when: str, **more: str) -> str:
    lines = {"id": name, "action": action, "when": f"'{when}'", "reason": f"{name} says so", **more}
    first, *rest = (f"{key}: {value}" for key, value in lines.items())
    return "\n".join([f"  - {first}", *(f"    {line}" for line in rest)])


def rules(*lines: str) -> str:
    return "\n".join(["rules:", *lines]) + "\n"


LARGE = rules(rule("large", "block", "amount > 5 USD"))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One of this module's own: rules decide for all."""
    with running(tmp_path_factory.mktemp("rules"), workers=2) as found:
        yield found


@pytest.fixture
async def caller(gateway: Gateway) -> AsyncIterator[Caller]:
    """Nothing is in force, and `acme` is a name for an org of the test's own."""
    async with Caller(gateway.address) as found:
        await found.ok("PUT", "/v1/rate_cards/default/versions/v1", CARD)
        for ruleset in (await found.ok("GET", "/v1/rulesets"))["rulesets"]:
            path = f"/v1/rulesets/{ruleset['id']}/activate"
            if ruleset["mode"] in ("active", "shadow"):
                await found.ok("POST", path, {"mode": "retired"})
        await asyncio.sleep(SWITCHED_S)
        yield found


@pytest.fixture
async def org(caller: Caller) -> str:
    return await caller.org(f"org-{secrets.token_hex(4)}", 1_000 * USD)


SWITCHED_S = 0.8
"""Until every worker has taken over a change, with time to spare."""
CARD = {
    "effective_at": "2020-01-01T00:00:00Z",
    "currency": "USD",
    "products": {"cent": {"units": 10_000_000_000}},
}


async def submit(caller: Caller, text: str) -> str:
    return str((await caller.ok("POST", "/v1/rulesets", {"text": text}))["id"])


async def in_force(caller: Caller, text: str, mode: str = "active", **more: Any) -> str:
    """Put rules in force, and wait until all workers know."""
    ruleset = await submit(caller, text)
    body = {"mode": mode, "force": True, "note": "a test", **more}
    await caller.ok("POST", f"/v1/rulesets/{ruleset}/activate", body)
    await asyncio.sleep(SWITCHED_S)
    return ruleset


def cents(count: int, **more: Any) -> dict[str, Any]:
    return {"quantity": {"units": count}, **more}
