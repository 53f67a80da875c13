"""Rules in scenarios: how they are written and put in force, and the gateway they decide for."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.gateways import Caller

CENT = 10_000
USD = 100 * CENT


def rule(name: str, action: str, when: str, **more: str) -> str:
    lines = {"id": name, "action": action, "when": f"'{when}'", "reason": f"{name} says so", **more}
    first, *rest = (f"{key}: {value}" for key, value in lines.items())
    return "\n".join([f"  - {first}", *(f"    {line}" for line in rest)])


def rules(*lines: str) -> str:
    return "\n".join(["rules:", *lines]) + "\n"


LARGE = rules(rule("large", "block", "amount > 5 USD"))


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
    await taken_over(caller)
    return ruleset


async def nothing_in_force(caller: Caller) -> None:
    """Retire every rule set and model, and wait until all workers know."""
    retired = False
    for kind in ("rulesets", "models"):
        for one in (await caller.ok("GET", f"/v1/{kind}"))[kind]:
            if one["mode"] in ("active", "shadow"):
                path = f"/v1/{kind}/{one['id']}/activate"
                await caller.ok("POST", path, {"mode": "retired"})
                retired = True
    if retired:
        await taken_over(caller)


PROBES, PATIENCE_S = 24, 30
"""At once, each on a connection of its own, so that every worker has some; and for how long."""


async def taken_over(caller: Caller) -> None:
    """Wait until every worker has taken over the latest change of rules or models."""
    latest = (await caller.ok("GET", "/v1/rulesets"))["changes"][-1]["n"]
    async with asyncio.timeout(PATIENCE_S):
        while True:
            probes = (caller.ok("GET", "/healthz") for _ in range(PROBES))
            if all(told["rules"] >= latest for told in await asyncio.gather(*probes)):
                return
            await asyncio.sleep(0.05)


async def booked(caller: Caller) -> None:
    """Wait until the ledger has all there is."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if not (await caller.ok("GET", "/v1/ledger/reconcile"))["lag_s"]:
                return
            await asyncio.sleep(0.05)


async def gathered(caller: Caller, ruleset: str, span: str = "") -> Any:
    """The report of a rule set (of a span), once all there is is in it."""
    await booked(caller)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await caller.ok("GET", f"/v1/rulesets/{ruleset}/report?{span}")
            if not found["behind"]:
                return found
            await asyncio.sleep(0.05)


def cents(count: int, **more: Any) -> dict[str, Any]:
    return {"quantity": {"units": count}, **more}


async def metrics(caller: Caller) -> dict[str, float]:
    assert caller.session is not None
    async with caller.session.get(f"{caller.address}/metrics") as answer:
        lines = [line for line in (await answer.text()).splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
