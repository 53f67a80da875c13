"""What admins set can be read, one by one and page by page."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest

from tests.gateways import Caller
from tests.scenarios.steps import CENT, eventually

CAP = {"level": "org", "window": "day", "limit_micros": 5, "alert_at": [50]}
CONTRACT = {"rate_card": "default", "version": "v1", "starts_at": "2020-01-01T00:00:00Z"}
SET = {
    "": {"plan": "payg", "name": "an org", "country": "PT"},
    "/projects/search": {"name": "Search"},
    "/users/jane.doe@example.com": {"name": "Jane"},
    "/keys/k%2F1": {"user": "u", "expires_at": "2099-01-01T00:00:00Z"},
    "/caps/daily": CAP,
    "/rate_limits/rpm": {"level": "user", "unit": "requests", "limit": 10},
    "/contract": CONTRACT | {"discount_bps": 100, "products": {"cent": {"discount_bps": 1}}},
}


@pytest.mark.parametrize("path", SET)
async def test_what_was_set_is_read_as_it_was_answered(caller: Caller, org: str, path: str) -> None:
    await caller.org(org)
    made = await caller.ok("PUT", f"/v1/orgs/{org}{path}", SET[path])
    assert await caller.ok("GET", f"/v1/orgs/{org}{path}") == made


async def test_plans_and_card_versions_are_read_and_listed(caller: Caller, org: str) -> None:
    plan = {"rate_card": "default", "caps": [CAP | {"id": "c"}],
            "included": [{"id": "q", "amount_micros": 1, "period": "month"}]}  # fmt: skip
    made = await caller.ok("PUT", f"/v1/plans/p-{org}", plan)
    assert await caller.ok("GET", f"/v1/plans/p-{org}") == made
    assert made in await everything(caller, "/v1/plans")
    version = {
        "effective_at": "2020-01-01T00:00:00Z",
        "currency": "USD",
        "products": {"x": {"u": 1}},
    }
    path = f"/v1/rate_cards/c-{org}/versions"
    made = await caller.ok("PUT", f"{path}/v1", version)
    assert await caller.ok("GET", f"{path}/v1") == made
    assert await everything(caller, path) == [made]
    card = await caller.ok("GET", f"/v1/rate_cards/c-{org}")
    assert card == {"id": f"c-{org}", "currency": "USD", "versions": ["v1"]}
    assert card in await everything(caller, "/v1/rate_cards", 1)


async def everything(caller: Caller, path: str, limit: int = 200) -> list[Any]:
    """All pages of a collection."""
    found, cursor = [], ""
    while True:
        join = "&" if "?" in path else "?"
        page = await caller.ok("GET", f"{path}{join}limit={limit}{cursor}")
        assert len(page["data"]) <= limit
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


async def test_a_listing_neither_skips_nor_repeats(caller: Caller, org: str) -> None:
    await caller.org(org)
    names = ["openai/gpt-4o", "auth0|64f0c1", "張三", "b", "a", "c"]
    for name in names[:-1]:
        await caller.ok("PUT", f"/v1/orgs/{org}/caps/{names.index(name)}", CAP)
        await caller.ok("PUT", f"/v1/orgs/{org}/users/{quote(name, safe='')}", {})
    path = f"/v1/orgs/{org}/users"
    first = await caller.ok("GET", f"{path}?limit=2")
    await caller.ok("PUT", f"{path}/{names[-1]}", {})
    rest, cursor = [], first["next_cursor"]
    while cursor is not None:
        page = await caller.ok("GET", f"{path}?limit=2&cursor={cursor}")
        rest, cursor = rest + page["data"], page["next_cursor"]
    seen = [user["id"] for user in first["data"] + rest]
    assert len(seen) == len(set(seen))
    assert set(names[:-1]) <= set(seen)
    assert [cap["id"] for cap in await everything(caller, f"/v1/orgs/{org}/caps", 2)] == list(
        "01234"
    )


async def test_a_bound_credential_reads_its_own_org_alone(caller: Caller, org: str) -> None:
    other = f"{org}-other"
    for name in (org, other):
        await caller.org(name)
        await caller.ok("PUT", f"/v1/orgs/{name}/caps/daily", CAP)
    body = {"name": "theirs", "scopes": ["read"], "org": org}
    made = await caller.ok("POST", "/v1/credentials", body, key=f"read-{org}")
    async with Caller(caller.address, made["secret"]) as theirs:
        assert [one["id"] for one in await everything(theirs, "/v1/orgs")] == [org]
        assert (await theirs.ok("GET", f"/v1/orgs/{org}/caps"))["data"]
        for path in ("/caps", "/caps/daily", "/users", "/contract"):
            assert (await theirs.send("GET", f"/v1/orgs/{other}{path}"))[0] == 404


@pytest.mark.parametrize(
    "path",
    ["/v1/orgs/none/caps", "/v1/orgs/none/users", "/v1/plans/none", "/v1/orgs/{org}/caps/none",
     "/v1/orgs/{org}/keys/none", "/v1/orgs/{org}/contract", "/v1/rate_cards/none/versions/v1",
     "/v1/rate_cards/none"],
)  # fmt: skip
async def test_what_does_not_exist_is_a_404(caller: Caller, org: str, path: str) -> None:
    await caller.org(org)
    status, problem, _ = await caller.send("GET", path.replace("{org}", org))
    assert (status, problem["type"]) == (404, "urn:spendgate:problem:not_found")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "cursor=", "cursor=*", "cursor=YQ=", "more=1"]
)
async def test_a_bad_page_is_refused(caller: Caller, query: str) -> None:
    status, problem, _ = await caller.send("GET", f"/v1/orgs?{query}")
    assert (status, problem["type"]) == (422, "urn:spendgate:problem:invalid_request")


async def test_grants_are_listed_whatever_became_of_them(caller: Caller, org: str) -> None:
    await caller.org(org)
    path, made = f"/v1/orgs/{org}/grants", {}
    soon = datetime.fromtimestamp(time.time() + 1.5, UTC).isoformat()
    for status, more in {
        "spent": {"priority": 1, "products": ["cent"]},
        "active": {"kind": "promotional", "metadata": {"po": "7"}},
        "voided": {},
        "expired": {"expires_at": soon},
        "pending": {"effective_at": "2090-01-01T00:00:00Z"},
    }.items():
        body = {"amount_micros": CENT, "kind": "paid", **more}
        made[status] = (await caller.ok("POST", path, body))["id"]
    await caller.authorize(org, capture=True)
    await caller.ok("POST", f"{path}/{made['voided']}/void", {})

    async def statuses() -> dict[str, str]:
        return {one["status"]: one["id"] for one in await everything(caller, path, 2)}

    await eventually(statuses, made)
    newest_first = [one["id"] for one in await everything(caller, path, 2)]
    assert newest_first == list(reversed(made.values()))
    found = await caller.ok("GET", f"{path}/{made['active']}")
    assert (found["remaining_micros"], found["metadata"]) == (CENT, {"po": "7"})
    for query in ("status=active", "metadata.po=7"):
        assert [one["id"] for one in await everything(caller, f"{path}?{query}")] == [found["id"]]
    assert (await caller.send("GET", f"{path}/grant_none"))[0] == 404


async def test_holds_are_listed_by_their_status(caller: Caller, org: str) -> None:
    await caller.org(org, 100 * CENT)
    ids = [(await caller.authorize(org))["hold"]["id"] for _ in range(5)]
    await caller.capture(ids[1], quantity={"units": 1})
    await caller.release(ids[2])
    of = f"/v1/holds?org={org}"
    held = await everything(caller, f"{of}&status=held", 2)
    assert [one["id"] for one in held] == [ids[4], ids[3], ids[0]]
    assert held[0] == await caller.ok("GET", f"/v1/holds/{ids[4]}")
    assert [one["id"] for one in await everything(caller, of, 2)] == ids[::-1]
    assert [one["id"] for one in await everything(caller, f"{of}&status=captured")] == [ids[1]]
    status, problem, _ = await caller.send("GET", f"{of}&status=lost")
    assert (status, problem["errors"][0]["parameter"]) == (422, "status")


async def test_events_labels_lists_and_credentials_are_listed(caller: Caller, org: str) -> None:
    await caller.org(org, CENT)
    for kind in ("sign_up", "login"):
        await caller.ok("POST", "/v1/events", {"type": kind, "subject": {"org": org, "user": "u"}})
    await caller.ok("PUT", f"/v1/lists/l-{org}/items/a", {})
    decision = (await caller.authorize(org))["id"]

    async def events() -> list[str]:
        return [one["type"] for one in await everything(caller, f"/v1/events?org={org}", 1)]

    await eventually(events, ["login", "sign_up"])

    async def label() -> Any:
        return await caller.ok("POST", "/v1/labels", {"decision": decision, "label": "good"})

    made: list[Any] = []

    async def labelled() -> bool:
        made.append(await label())
        return True

    await eventually(labelled, wanted=True)
    assert await everything(caller, f"/v1/labels?decision={decision}") == made[-1:]
    assert {"list": f"l-{org}", "items": 1} in (await caller.ok("GET", "/v1/lists"))["data"]
    cred = await caller.ok("POST", "/v1/credentials", {"name": "n", "scopes": ["read"], "org": org})
    shown = await caller.ok("GET", f"/v1/credentials/{cred['id']}")
    assert shown in (await caller.ok("GET", "/v1/credentials"))["data"]
    assert (await caller.ok("GET", "/v1/backtests"))["data"] == []


async def test_a_bound_credential_lists_what_is_its_orgs(caller: Caller, org: str) -> None:
    for name in (org, f"{org}-other"):
        await caller.org(name, 10 * CENT)
        await caller.authorize(name)
    body = {"name": "theirs", "scopes": ["read", "authorize", "risk"], "org": org}
    made = await caller.ok("POST", "/v1/credentials", body, key=f"money-{org}")
    async with Caller(caller.address, made["secret"]) as theirs:

        async def seen() -> int:
            return len(await everything(theirs, "/v1/holds"))

        await eventually(seen, 1)
        assert len(await everything(theirs, f"/v1/orgs/{org}/grants")) == 1
        for path in (f"/v1/orgs/{org}-other/grants", f"/v1/holds?org={org}-other",
                     f"/v1/events?org={org}-other"):  # fmt: skip
            assert (await theirs.send("GET", path))[0] == 404
