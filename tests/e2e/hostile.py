"""What hostile callers have in common: bodies, problems, replays, credentials."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from tests.gateways import Caller

MAX_MICROS = 2**53 - 1
NO_SUCH_HOLD = "hold_00000000000000000000000000"
CARD = {"effective_at": "2020-01-01T00:00:00Z", "currency": "USD", "products": {}}
CONTRACT = {"rate_card": "default", "version": "v1", "starts_at": "2020-01-01T00:00:00Z"}
CAP = {"level": "org", "window": "day", "limit_micros": 1}


def asked(org: str, **more: Any) -> dict[str, Any]:
    """An authorize body: one unit for a cent unless told otherwise."""
    if "amount_micros" not in more:
        more.setdefault("quantity", {"units": 1})
    return {"subject": {"org": org}, "product": "cent", **more}


def refused(answer: tuple[int, Any, Any], status: int, code: str, pointer: str = "") -> None:
    """The answer is that problem, in the form every problem has."""
    found, problem, headers = answer
    assert (found, problem.get("type")) == (status, f"urn:spendgate:problem:{code}"), problem
    assert headers["Content-Type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    pointers = [error["pointer"] for error in problem.get("errors", [])]
    assert pointers == ([pointer] if status == 422 else []), problem


async def exchanged(
    caller: Caller, path: str, body: Any, **headers: str
) -> tuple[int, bytes, bool]:
    """A POST: its status, its bytes, and whether they were told to be a replay."""
    assert caller.session is not None
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    sent = {**caller.headers, "Content-Type": "application/json", **headers}
    async with caller.session.post(caller.address + path, data=data, headers=sent) as answer:
        replayed = answer.headers.get("Idempotent-Replayed")
        assert replayed in (None, "true")
        return answer.status, await answer.read(), replayed == "true"


async def admitted(caller: Caller) -> None:
    """Wait until every worker knows a new credential: each new connection meets one of them."""
    for _ in range(100):
        tries = [
            caller.send("GET", f"/v1/holds/{NO_SUCH_HOLD}", Connection="close") for _ in range(12)
        ]
        if 401 not in [status for status, _, _ in await asyncio.gather(*tries)]:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the credential was never known")


async def credential(caller: Caller, *scopes: str, org: str | None = None) -> tuple[str, str]:
    """A new credential: (id, secret)."""
    body = {"name": "test", "scopes": scopes, "org": org}
    made = await caller.ok("POST", "/v1/credentials", body)
    return made["id"], made["secret"]


def path_of(template: str, org: str) -> str:
    names = {"org": org, "id": NO_SUCH_HOLD, "version": "v9", "decision": "dec_none"}
    names |= {"name": "bad", "value": "203.0.113.9"} | dict.fromkeys(
        ("project", "user", "key"), "x"
    )
    return template.format_map(names)
