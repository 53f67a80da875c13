"""Changes of what admins set: conditional, in part, deleted, searched, and on record."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.gateways import ADMIN_KEY, Caller
from tests.scenarios.steps import codes
from tests.scenarios.test_reads import CAP, SET, everything

PATCHES: dict[str, dict[str, Any]] = {
    "": {"name": "renamed", "country": None, "outage": {"policy": "open", "max_open_micros": 5}},
    "/projects/search": {"name": None, "status": "suspended"},
    "/users/jane.doe@example.com": {"metadata": {"team": "blue"}},
    "/keys/k%2F1": {"expires_at": None},
    "/caps/daily": {"limit_micros": 7, "alert_at": None},
    "/rate_limits/rpm": {"limit": 11},
    "/contract": {"discount_bps": None, "products": {"image": {"allowed": False}}},
}


@pytest.mark.parametrize("path", SET)
async def test_a_patch_changes_what_it_names(caller: Caller, org: str, path: str) -> None:
    await caller.org(org)
    before = await caller.ok("PUT", f"/v1/orgs/{org}{path}", SET[path])
    after = await caller.ok("PATCH", f"/v1/orgs/{org}{path}", PATCHES[path])
    assert after == await caller.ok("GET", f"/v1/orgs/{org}{path}")
    before.pop("alerts", None)
    for name, value in before.items():
        if name not in PATCHES[path]:
            assert after[name] == value
        elif PATCHES[path][name] is None:
            assert after[name] in (None, [], 0, "")
        elif isinstance(value, dict):
            assert after[name] == value | after[name]
        else:
            assert after[name] == PATCHES[path][name]


async def test_members_of_metadata_are_patched_one_by_one(caller: Caller, org: str) -> None:
    await caller.org(org, metadata={"crm": "42", "tier": "gold"})
    after = await caller.ok("PATCH", f"/v1/orgs/{org}", {"metadata": {"tier": None, "x": "y"}})
    assert after["metadata"] == {"crm": "42", "x": "y"}


@pytest.mark.parametrize("patch", [{"nope": 1}, {"credit_line_micros": -1}, {"created_at": "x"}])
async def test_a_wrong_patch_changes_nothing(caller: Caller, org: str, patch: Any) -> None:
    await caller.org(org)
    before = await caller.ok("GET", f"/v1/orgs/{org}")
    status, problem, _ = await caller.send("PATCH", f"/v1/orgs/{org}", patch)
    assert (status, problem["errors"][0]["pointer"]) == (422, f"/{next(iter(patch))}")
    assert await caller.ok("GET", f"/v1/orgs/{org}") == before
    assert (await caller.send("PATCH", f"/v1/orgs/{org}-none", {"name": "x"}))[0] == 404


@pytest.mark.parametrize("path", SET)
async def test_a_change_of_an_older_state_is_refused(caller: Caller, org: str, path: str) -> None:
    await caller.org(org)
    path = f"/v1/orgs/{org}{path}"
    body, patch = (
        SET[path.removeprefix(f"/v1/orgs/{org}")],
        PATCHES[path.removeprefix(f"/v1/orgs/{org}")],
    )
    _, _, made = await caller.send("PUT", path, body)
    _, _, read = await caller.send("GET", path)
    assert made["ETag"] == read["ETag"]
    status, _, patched = await caller.send("PATCH", path, patch, **{"If-Match": read["ETag"]})
    assert status == 200
    assert patched["ETag"] != read["ETag"]
    for method, sent in (("PUT", body), ("PATCH", patch)):
        for header in ({"If-Match": read["ETag"]}, {"If-None-Match": "*"}):
            status, problem, _ = await caller.send(method, path, sent, **header)
            assert (status, problem["type"]) == (412, "urn:spendgate:problem:precondition_failed")
    several = {"If-Match": f'"other", {patched["ETag"]}'}
    assert (await caller.send("PUT", path, body, **several))[0] == 200
    assert (await caller.send("PUT", path, body, **{"If-Match": f"W/{made['ETag']}"}))[0] == 412


async def test_nothing_is_created_where_a_state_is_demanded(caller: Caller, org: str) -> None:
    await caller.org(org)
    path = f"/v1/orgs/{org}/caps/new"
    assert (await caller.send("PUT", path, CAP, **{"If-Match": "*"}))[0] == 412
    assert (await caller.send("PUT", path, CAP, **{"If-None-Match": "*"}))[0] == 200
    stale = {"If-Match": '"stale"'}
    assert (await caller.send("DELETE", path, **stale))[0] == 412
    assert (await caller.send("DELETE", path, **{"If-Match": "*"}))[0] == 204


async def test_of_concurrent_changes_of_one_state_one_is_made(caller: Caller, org: str) -> None:
    await caller.org(org)
    path = f"/v1/orgs/{org}"
    _, _, read = await caller.send("GET", path)
    same = {"If-Match": read["ETag"]}
    tries = [caller.send("PUT", path, {"name": f"n{i}"}, **same) for i in range(8)]
    assert sorted(status for status, _, _ in await asyncio.gather(*tries)) == [200] + [412] * 7
    patches = [caller.ok("PATCH", path, {"metadata": {f"m{i}": "1"}}) for i in range(6)]
    await asyncio.gather(*patches)
    assert len((await caller.ok("GET", path))["metadata"]) == 6


async def test_a_deleted_key_is_refused(caller: Caller, org: str) -> None:
    await caller.org(org, 1_000_000)
    path = f"/v1/orgs/{org}/keys/k1"
    await caller.ok("PUT", path, {"user": "u"})
    assert (await caller.authorize(org, key="k1"))["decision"] == "allow"
    assert (await caller.send("DELETE", path))[0] == 204
    assert codes(await caller.authorize(org, key="k1")) == ["key_unknown"]
    assert (await caller.send("GET", path))[0] == 404
    assert (await caller.send("DELETE", path))[0] == 404
    assert (await caller.ok("GET", f"/v1/orgs/{org}/keys"))["data"] == []
    await caller.ok("PUT", path, {})
    assert (await caller.authorize(org, key="k1"))["decision"] == "allow"


@pytest.mark.parametrize("kind", ["projects", "users"])
async def test_a_deleted_member_is_not_on_file(caller: Caller, org: str, kind: str) -> None:
    await caller.org(org)
    path = f"/v1/orgs/{org}/{kind}/m%2F1"
    await caller.ok("PUT", path, {"name": "M"})
    assert (await caller.send("DELETE", path))[0] == 204
    assert (await caller.send("GET", path))[0] == 404
    assert (await caller.ok("PUT", path, {}))["name"] == ""


async def test_orgs_and_members_are_found_by_field_and_metadata(caller: Caller, org: str) -> None:
    for i in range(5):
        status = "suspended" if i % 2 else "active"
        await caller.org(f"{org}-{i}", status=status, metadata={"of": org, "n": str(i)})
    of = f"/v1/orgs?metadata.of={org}"
    for query, found in (("", "01234"), ("&status=suspended", "13"), ("&metadata.n=2", "2"),
                         ("&metadata.n=9", ""), ("&plan=other", "")):  # fmt: skip
        page = await caller.ok("GET", of + query)
        assert [one["id"] for one in page["data"]] == [f"{org}-{i}" for i in found]
    first = await caller.ok("GET", f"{of}&limit=3")
    rest = await caller.ok("GET", f"{of}&limit=3&cursor={first['next_cursor']}")
    assert len(first["data"] + rest["data"]) == 5
    await caller.ok("PUT", f"/v1/orgs/{org}-0/users/u", {"metadata": {"a": "b"}})
    users = f"/v1/orgs/{org}-0/users?metadata.a="
    assert len((await caller.ok("GET", f"{users}b"))["data"]) == 1
    assert (await caller.ok("GET", f"{users}c"))["data"] == []


MANY = {str(i): "x" for i in range(51)}


@pytest.mark.parametrize("metadata", [{"": "x"}, {"n": 1}, {"n" * 65: "x"}, {"n": "x" * 513}, MANY])
async def test_metadata_is_bounded_text(caller: Caller, org: str, metadata: Any) -> None:
    status, problem, _ = await caller.send("PUT", f"/v1/orgs/{org}", {"metadata": metadata})
    assert status == 422
    assert problem["errors"][0]["pointer"].startswith("/metadata")


async def test_each_admin_change_is_in_the_audit_log(caller: Caller, org: str) -> None:
    await caller.org(org)
    await caller.ok("PUT", f"/v1/orgs/{org}/caps/c", CAP)
    await caller.ok("PUT", f"/v1/orgs/{org}/caps/c", CAP)
    await caller.ok("PATCH", f"/v1/orgs/{org}/caps/c", {"limit_micros": 9})
    await caller.send("DELETE", f"/v1/orgs/{org}/caps/c")
    grant = {"amount_micros": 5, "kind": "paid", "metadata": {"po": "7"}}
    for _ in range(2):
        made = await caller.ok("POST", f"/v1/orgs/{org}/grants", grant, key=f"grant-{org}")
    for _ in range(2):
        body = {"kind": "correction", "note": "n", "amount_micros": 1}
        await caller.ok("POST", f"/v1/orgs/{org}/adjustments", body, key=f"adjust-{org}")
    body = {"name": "theirs", "scopes": ["admin"], "org": org}
    cred = await caller.ok("POST", "/v1/credentials", body, key=f"cred-{org}")
    rows = await everything(caller, f"/v1/audit?org={org}", 3)
    assert [(row["kind"], row["action"]) for row in reversed(rows)] == [
        ("org", "create"), ("cap", "create"), ("cap", "update"), ("cap", "delete"),
        ("grant", "create"), ("adjustment", "create"), ("credential", "create"),
    ]  # fmt: skip
    update = rows[4]
    assert (update["before"]["limit_micros"], update["after"]["limit_micros"]) == (5, 9)
    assert {row["actor"] for row in rows} == {"cred_admin"}
    assert rows[2]["object"] == made["id"]
    assert (rows[2]["after"]["metadata"], rows[1]["after"]["note"]) == ({"po": "7"}, "n")
    assert cred["secret"] not in str(rows)
    async with Caller(caller.address, cred["secret"]) as theirs:
        await theirs.ok("PUT", f"/v1/orgs/{org}/users/u", {})
        seen = await everything(theirs, "/v1/audit", 3)
        assert (seen[0]["actor"], seen[0]["kind"]) == (cred["id"], "user")
        assert seen[1:] == rows
        assert (await theirs.send("GET", f"/v1/audit?org={org}-other"))[0] == 404
    by = await caller.ok("GET", f"/v1/audit?actor={cred['id']}")
    assert [row["kind"] for row in by["data"]] == ["user"]
    late = await caller.ok("GET", f"/v1/audit?org={org}&from=2090-01-01")
    assert late["data"] == []
    assert (await caller.send("GET", f"/v1/audit?org={org}&from=never"))[1]["errors"] == [
        {"pointer": "", "parameter": "from",
         "detail": "from must be an RFC 3339 time or a date, not 'never'"}]  # fmt: skip


async def test_the_audit_log_is_for_admins_and_finance(caller: Caller, org: str) -> None:
    for scope, status in (("finance", 200), ("admin", 200), ("read", 403), ("risk", 403)):
        body = {"name": scope, "scopes": [scope]}
        made = await caller.ok("POST", "/v1/credentials", body)
        async with Caller(caller.address, made["secret"]) as theirs:
            assert (await theirs.send("GET", "/v1/audit"))[0] == status
    assert ADMIN_KEY not in str(await everything(caller, "/v1/audit"))


KEPT: dict[str, Any] = {
    "/caps/daily": {"limit_micros": 6},
    "/rate_limits/rpm": {"window_s": 30},
    "/contract": {"discount_bps": 7},
}


@pytest.mark.parametrize("path", KEPT)
async def test_a_put_keeps_even_what_a_new_one_needs(caller: Caller, org: str, path: str) -> None:
    await caller.org(org)
    before = await caller.ok("PUT", f"/v1/orgs/{org}{path}", SET[path])
    after = await caller.ok("PUT", f"/v1/orgs/{org}{path}", KEPT[path])
    assert after == before | KEPT[path]
    missing, _, _ = await caller.send("PUT", f"/v1/orgs/{org}{path}-new", KEPT[path])
    assert missing in (404, 422)


async def test_what_a_new_object_needs_is_named(caller: Caller, org: str) -> None:
    await caller.org(org)
    for path, body, pointer in (
        ("/caps/new", {"window": "day", "limit_micros": 1}, "/level"),
        ("/rate_limits/new", {"level": "org", "unit": "requests"}, "/limit"),
        ("/contract", {"rate_card": "default", "version": "v1"}, "/starts_at"),
    ):
        status, problem, _ = await caller.send("PUT", f"/v1/orgs/{org}{path}", body)
        assert (status, problem["errors"][0]["pointer"]) == (422, pointer)
    made = await caller.ok("PUT", f"/v1/plans/k-{org}", {"rate_card": "default"})
    assert await caller.ok("PUT", f"/v1/plans/k-{org}", {"caps": []}) == made


@pytest.mark.parametrize(
    ("first", "then", "kept"),
    [
        ({"window": "day", "limit_micros": 5}, {"window_s": None}, {"window": "day"}),
        ({"window": "day", "units": ["a"], "limit": 5}, {"limit_micros": None}, {"limit": 5}),
        ({"window": "day", "units": ["a"], "limit": 5}, {"units": ["b"]}, {"limit": 5}),
        ({"window_s": 9, "limit_micros": 5}, {"units": None}, {"limit_micros": 5, "window_s": 9}),
    ],
)  # fmt: skip
async def test_null_of_what_is_not_in_use_changes_nothing(
    caller: Caller, org: str, first: Any, then: Any, kept: Any
) -> None:
    await caller.org(org)
    await caller.ok("PUT", f"/v1/orgs/{org}/caps/c", {"level": "org", **first})
    for method in ("PUT", "PATCH"):
        after = await caller.ok(method, f"/v1/orgs/{org}/caps/c", then)
        assert {name: after[name] for name in kept} == kept


async def test_conditions_that_say_nothing_are_not_met(caller: Caller, org: str) -> None:
    await caller.org(org)
    path = f"/v1/orgs/{org}"
    _, _, read = await caller.send("GET", path)
    for header in ({"If-Match": ""}, {"If-Match": "x"}, {"If-None-Match": f"W/{read['ETag']}"},
                   {"If-None-Match": '"zz", *'}):  # fmt: skip
        assert (await caller.send("PUT", path, {"name": "n"}, **header))[0] == 412, header


@pytest.mark.parametrize(
    ("path", "parameter"),
    [("/v1/orgs?status=odd", "status"), ("/v1/orgs?type=odd", "type"),
     ("/v1/orgs/{org}/users?status=odd", "status"),
     ("/v1/orgs/{org}/keys?status=suspended", "status"),
     ("/v1/orgs/{org}/grants?status=odd", "status"), ("/v1/orgs?plan=a&plan=b", "plan"),
     ("/v1/orgs/{org}/grants?cursor=YWJj", "cursor"),
     ("/v1/orgs/{org}/grants?cursor=" + "OTk5" * 1500, "cursor")],
)  # fmt: skip
async def test_a_query_that_says_nothing_is_refused_by_its_parameter(
    caller: Caller, org: str, path: str, parameter: str
) -> None:
    await caller.org(org)
    status, problem, _ = await caller.send("GET", path.replace("{org}", org))
    assert (status, problem["errors"][0]["parameter"]) == (422, parameter)


async def test_the_audit_log_says_what_was_voided_rotated_and_revoked(
    caller: Caller, org: str
) -> None:
    await caller.org(org)
    grant = {"amount_micros": 5, "kind": "paid", "for": {"user": "jane"}}
    made = await caller.ok("POST", f"/v1/orgs/{org}/grants", grant)
    await caller.ok("POST", f"/v1/orgs/{org}/grants/{made['id']}/void", {})
    body = {"name": "theirs", "scopes": ["read"], "org": org}
    cred = await caller.ok("POST", "/v1/credentials", body)
    await caller.ok("POST", f"/v1/credentials/{cred['id']}/rotate", {})
    await caller.send("DELETE", f"/v1/credentials/{cred['id']}")
    rows = await everything(caller, f"/v1/audit?org={org}")
    assert [(row["kind"], row["action"]) for row in rows[:5]] == [
        ("credential", "delete"), ("credential", "rotate"), ("credential", "create"),
        ("grant", "void"), ("grant", "create"),
    ]  # fmt: skip
    assert (rows[0]["before"]["name"], rows[0]["after"]) == ("theirs", None)
    assert rows[1]["after"]["scopes"] == ["read"]
    assert rows[3]["after"]["voided_micros"] == 5
    assert rows[4]["after"]["for"] == {"user": "jane"}


async def test_an_open_outage_policy_is_closed_by_a_patch(caller: Caller, org: str) -> None:
    await caller.org(org, outage={"policy": "open", "max_open_micros": 5})
    after = await caller.ok("PATCH", f"/v1/orgs/{org}", {"outage": {"policy": "closed"}})
    assert after["outage"] == {"policy": "closed", "max_open_micros": 0}
