"""Who may what: scopes of every route, and what a credential bound to one org cannot do."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.catalog.credentials import ALL_SCOPES
from gateway.http.routes import ROUTES
from tests.gateways import Caller
from tests.scenarios.steps import eventually
from tests.scenarios.test_reads import CONTRACT

NAMES = {"org": "rights", "project": "p", "user": "u", "key": "k", "id": "x", "version": "v",
         "name": "l", "value": "a", "decision": "dec_x"}  # fmt: skip


async def made(caller: Caller, scopes: list[str], org: str | None = None) -> Caller:
    body = {"name": "theirs", "scopes": scopes, "org": org}
    return Caller(caller.address, (await caller.ok("POST", "/v1/credentials", body))["secret"])


@pytest.mark.parametrize("scope", sorted(ALL_SCOPES))
async def test_a_scope_opens_its_routes_and_no_other(caller: Caller, scope: str) -> None:
    async with await made(caller, [scope]) as theirs:
        for route in ROUTES:
            path = route.path.format(**NAMES)
            body = {} if route.body is not None else None
            status, problem, _ = await theirs.send(route.method, path, body)
            is_closed = status == 403 and problem["detail"].startswith("this needs the scope")
            assert is_closed is (scope not in route.scopes), (route.method, path, status)


GRANT = {"amount_micros": 1, "kind": "promotional"}
FOR_US_ALONE: list[tuple[str, str, Any]] = [
    ("POST", "/grants", GRANT),
    ("POST", "/grants/grant_x/void", {}),
    ("POST", "/adjustments", {"amount_micros": 1, "kind": "correction", "note": "n"}),
    ("PUT", "/contract", CONTRACT),
    ("PUT", "", {"plan": "payg", "credit_line_micros": 9}),
    ("PATCH", "", {"credit_line_micros": 9}),
    ("PATCH", "", {"plan": "other"}),
    ("PATCH", "", {"timezone": "Pacific/Kiritimati"}),
    ("PATCH", "", {"outage": {"policy": "open", "max_open_micros": 9}}),
]


@pytest.mark.parametrize(("method", "path", "body"), FOR_US_ALONE)
async def test_a_bound_admin_gives_its_org_no_money(
    caller: Caller, org: str, method: str, path: str, body: Any
) -> None:
    await caller.org(org)
    await caller.ok("PUT", "/v1/plans/other", {"rate_card": "default"})
    before = await caller.balance(org)
    async with await made(caller, ["admin"], org) as theirs:
        status, problem, _ = await theirs.send(method, f"/v1/orgs/{org}{path}", body)
        assert (status, problem["type"]) == (403, "urn:spendgate:problem:forbidden")
        await theirs.ok("PATCH", f"/v1/orgs/{org}", {"name": "Theirs", "status": "suspended"})
        status, _, _ = await theirs.send("PATCH", f"/v1/orgs/{org}", {"status": "active"})
        assert status == 403
        cap = {"level": "org", "window": "day", "limit_micros": 0}
        await theirs.ok("PUT", f"/v1/orgs/{org}/caps/stop", cap)
    await caller.send("DELETE", f"/v1/orgs/{org}/caps/stop")
    assert await caller.balance(org) == before


async def test_a_reader_bound_to_an_org_sees_its_usage_and_decisions(
    caller: Caller, org: str
) -> None:
    other = f"{org}-other"
    ids = {}
    for name in (org, other):
        await caller.org(name, 1_000_000)
        ids[name] = (await caller.authorize(name, capture=True))["id"]
    span = "from=2020-01-01&to=2090-01-01"
    async with await made(caller, ["read"], org) as theirs:

        async def seen() -> list[str]:
            return [one["id"] for one in (await theirs.ok("GET", "/v1/decisions"))["decisions"]]

        await eventually(seen, [ids[org]])
        assert (await theirs.ok("GET", f"/v1/decisions/{ids[org]}"))["answer"]["id"] == ids[org]
        assert (await theirs.send("GET", f"/v1/decisions/{ids[other]}"))[0] == 404
        assert (await theirs.ok("GET", f"/v1/orgs/{org}/usage?{span}"))["rows"]
        assert (await theirs.send("GET", f"/v1/orgs/{other}/usage?{span}"))[0] == 404
    async with await made(caller, ["read"]) as unbound:
        for path in ("/v1/decisions", f"/v1/orgs/{org}/usage?{span}"):
            assert (await unbound.send("GET", path))[0] == 403
