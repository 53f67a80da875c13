"""Who may call, and what each of them sees: 401, 403 and 404."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from gateway.http.routes import ROUTES
from tests.e2e.hostile import (
    CAP,
    CARD,
    CONTRACT,
    NO_SUCH_HOLD,
    admitted,
    asked,
    credential,
    path_of,
    refused,
)
from tests.gateways import ADMIN_KEY, Caller, Gateway

SCOPES = ("authorize", "read", "admin", "risk", "finance")


@pytest.fixture(scope="module")
def secrets(gateway: Gateway) -> dict[str, str]:
    """A key of each scope alone, and one of all scopes bound to the org `bound`."""

    async def make() -> dict[str, str]:
        async with Caller(gateway.address) as caller:
            made = {scope: (await credential(caller, scope))[1] for scope in SCOPES}
            made["bound"] = (await credential(caller, *SCOPES, org="bound"))[1]
            for key in made.values():
                async with Caller(gateway.address, key) as one:
                    await admitted(one)
            return made

    return asyncio.run(make())


@pytest_asyncio.fixture
async def bound(gateway: Gateway, secrets: dict[str, str]) -> AsyncIterator[Caller]:
    """A caller with every scope, but for one org only."""
    async with Caller(gateway.address, secrets["bound"]) as caller:
        yield caller


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {ADMIN_KEY}",
        ADMIN_KEY,
        f"Bearer {ADMIN_KEY}x",
        f"Bearer {ADMIN_KEY[:-1]}",
        f"Bearer {ADMIN_KEY} x",
        f"Bearer {ADMIN_KEY.upper()}",
        "Bearer ☃",
        "Bearer " + "x" * 4000,
    ],
)
async def test_no_or_bad_credentials_are_a_401_on_every_route(
    caller: Caller, authorization: str | None, org: str
) -> None:
    caller.headers = {} if authorization is None else {"Authorization": authorization}
    for route in ROUTES:
        answer = await caller.send(route.method, path_of(route.path, org), {})
        refused(answer, 401, "unauthorized")
        assert answer[2]["WWW-Authenticate"] == "Bearer"


async def test_a_scope_opens_its_own_routes_and_no_others(
    gateway: Gateway, secrets: dict[str, str], org: str
) -> None:
    for scope in SCOPES:
        async with Caller(gateway.address, secrets[scope]) as caller:
            for route in ROUTES:
                answer = await caller.send(route.method, path_of(route.path, org), b"null")
                if scope in route.scopes:
                    assert answer[0] in (200, 404, 422), (route.path, answer)
                else:
                    refused(answer, 403, "forbidden")


async def test_health_metrics_and_documents_need_no_credentials(gateway: Gateway) -> None:
    async with Caller(gateway.address) as caller:
        assert caller.session is not None
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"):
            async with caller.session.get(caller.address + path) as answer:
                assert answer.status == 200


async def test_another_tenants_org_does_not_exist_for_a_bound_credential(
    caller: Caller, bound: Caller, org: str
) -> None:
    await caller.org(org, 1_000_000)
    before = await caller.balance(org)
    grant = {"amount_micros": 5, "kind": "paid"}
    adjustment = {"amount_micros": 5, "kind": "refund", "note": ""}
    rate_limit = {"level": "org", "unit": "requests", "limit": 1}
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", {"status": "suspended"}),
        ("PUT", "/projects/p", {}),
        ("PUT", "/users/u", {}),
        ("PUT", "/keys/k", {}),
        ("PUT", "/caps/c", CAP),
        ("DELETE", "/caps/c", None),
        ("PUT", "/rate_limits/r", rate_limit),
        ("DELETE", "/rate_limits/r", None),
        ("PUT", "/contract", CONTRACT),
        ("POST", "/grants", grant),
        ("POST", f"/grants/{before['grants'][0]['id']}/void", {}),
        ("POST", "/adjustments", adjustment),
        ("GET", "/balance", None),
        ("GET", "/usage", None),
    ):
        refused(await bound.send(method, f"/v1/orgs/{org}{path}", body), 404, "not_found")
    refused(await bound.send("POST", "/v1/authorize", asked(org)), 404, "not_found")
    batch = {"requests": [asked(org), asked("bound", dry_run=True)]}
    others, own = (await bound.ok("POST", "/v1/authorize/batch", batch))["results"]
    assert others["status"] == 404
    assert own["decision"] in ("allow", "deny")
    assert await caller.balance(org) == before
    assert (await caller.ok("GET", f"/v1/orgs/{org}"))["status"] == "active"


async def test_another_tenants_hold_does_not_exist_for_a_bound_credential(
    caller: Caller, bound: Caller, org: str
) -> None:
    await caller.org(org, 1_000_000)
    hold = (await caller.authorize(org))["hold"]["id"]
    before = await caller.ok("GET", f"/v1/holds/{hold}")
    refused(await bound.send("GET", f"/v1/holds/{hold}"), 404, "not_found")
    use = {"amount_micros": 1}
    for verb, body in (("capture", use), ("extend", use), ("release", {})):
        answer = await bound.send("POST", f"/v1/holds/{hold}/{verb}", body)
        refused(answer, 404, "not_found")
        missing = await bound.send("POST", f"/v1/holds/{NO_SUCH_HOLD}/{verb}", body)
        assert answer[1]["detail"].replace(hold, NO_SUCH_HOLD) == missing[1]["detail"]
    assert await caller.ok("GET", f"/v1/holds/{hold}") == before


async def test_a_bound_credential_reaches_nothing_that_all_share(
    caller: Caller, bound: Caller
) -> None:
    unbound_id, _ = await credential(caller, "read")
    for method, path, body in (
        ("PUT", "/v1/rate_cards/default/versions/v9", CARD),
        ("PUT", "/v1/plans/payg", {"rate_card": "none"}),
        ("GET", "/v1/ledger/trial_balance", None),
        ("GET", "/v1/ledger/reconcile", None),
        ("POST", "/v1/credentials", {"name": "x", "scopes": ["read"]}),
        ("POST", "/v1/credentials", {"name": "x", "scopes": ["read"], "org": "other"}),
    ):
        refused(await bound.send(method, path, body), 403, "forbidden")
    refused(await bound.send("DELETE", f"/v1/credentials/{unbound_id}"), 404, "not_found")
    shown = (await bound.ok("GET", "/v1/credentials"))["credentials"]
    assert {found["org"] for found in shown} == {"bound"}


async def test_nobody_gives_away_more_scopes_than_they_have(
    gateway: Gateway, secrets: dict[str, str]
) -> None:
    async with Caller(gateway.address, secrets["admin"]) as caller:
        for scope in SCOPES:
            body = {"name": "x", "scopes": [scope]}
            status, _, _ = await caller.send("POST", "/v1/credentials", body)
            assert status == (200 if scope == "admin" else 403)


async def test_secrets_are_shown_once_and_never_listed(caller: Caller) -> None:
    made, secret = await credential(caller, "read")
    raw = msgspec.json.encode(await caller.ok("GET", "/v1/credentials")).decode()
    assert made in raw
    assert secret not in raw


async def test_a_new_credential_is_known_to_every_worker_at_once(
    caller: Caller, gateway: Gateway
) -> None:
    _, secret = await credential(caller, "authorize")
    async with Caller(gateway.address, secret) as made:
        for _ in range(12):
            answer = await made.send("GET", f"/v1/holds/{NO_SUCH_HOLD}", Connection="close")
            assert answer[0] == 404


async def test_a_revoked_credential_is_refused_by_every_worker_within_a_second(
    caller: Caller, gateway: Gateway
) -> None:
    made, secret = await credential(caller, "authorize")
    async with Caller(gateway.address, secret) as revoked:
        await admitted(revoked)
        await caller.ok("DELETE", f"/v1/credentials/{made}")
        await asyncio.sleep(1)
        for _ in range(24):
            answer = await revoked.send("GET", f"/v1/holds/{NO_SUCH_HOLD}", Connection="close")
            refused(answer, 401, "unauthorized")
    refused(await caller.send("DELETE", f"/v1/credentials/{made}"), 404, "not_found")
