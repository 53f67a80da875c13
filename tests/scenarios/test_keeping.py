"""A PUT keeps what it does not name; what an org may have is bounded."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateways import Caller, Gateway, running

WHOLE: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "org": (
        "",
        {"name": "A", "type": "enterprise", "credit_line_micros": 5_000_000, "status": "suspended",
         "timezone": "Asia/Tokyo", "country": "JP",
         "outage": {"policy": "open", "max_open_micros": 5}},
        {"name": "B"},
    ),
    "project": ("/projects/p", {"name": "P", "status": "suspended"}, {"name": "Q"}),
    "key": (
        "/keys/k",
        {"name": "K", "project": "p", "user": "u", "status": "disabled",
         "expires_at": "2099-01-01T00:00:00Z"},
        {"name": "L"},
    ),
    "cap": (
        "/caps/c",
        {"level": "user", "window": "day", "limit_micros": 5, "target": "u", "mode": "soft",
         "products": ["cent"], "alert_at": [50, 80]},
        {"level": "user", "window": "day", "limit_micros": 6},
    ),
    "rate limit": (
        "/rate_limits/r",
        {"level": "user", "unit": "tokens", "limit": 5, "target": "u", "window_s": 7},
        {"level": "user", "unit": "tokens", "limit": 6},
    ),
    "contract": (
        "/contract",
        {"rate_card": "default", "version": "v1", "starts_at": "2026-01-01T00:00:00Z",
         "ends_at": "2099-01-01T00:00:00Z", "discount_bps": 500,
         "products": {"cent": {"discount_bps": 700}}},
        {"rate_card": "default", "version": "v1", "starts_at": "2026-02-01T00:00:00Z"},
    ),
}  # fmt: skip
"""Where each thing is, with every member, and a PUT that names some of them."""


@pytest.mark.parametrize("kind", WHOLE)
async def test_what_is_not_named_stays_as_it_was(caller: Caller, org: str, kind: str) -> None:
    path, whole, less = WHOLE[kind]
    await caller.org(org)
    before = await caller.ok("PUT", f"/v1/orgs/{org}{path}", whole)
    after = await caller.ok("PUT", f"/v1/orgs/{org}{path}", less)
    changed = {name for name in before if before[name] != after[name]}
    named = {"starts_at"} if kind == "contract" else {"name"} & set(less) or {"limit_micros"}
    assert changed == ({"limit"} if kind == "rate limit" else named)


async def test_null_sets_the_default(caller: Caller, org: str) -> None:
    await caller.org(org, credit_line_micros=7, timezone="Asia/Tokyo")
    after = await caller.ok("PUT", f"/v1/orgs/{org}", {"timezone": None, "type": None})
    assert (after["timezone"], after["type"], after["credit_line_micros"]) == (
        "UTC", "individual", 7,
    )  # fmt: skip


async def test_renaming_an_org_does_not_let_it_spend_again(caller: Caller, org: str) -> None:
    await caller.org(org, 10**9, status="suspended")
    await caller.ok("PUT", f"/v1/orgs/{org}", {"name": "renamed"})
    assert (await caller.authorize(org))["reasons"][0]["code"] == "org_suspended"


async def check_plans(caller: Caller, cap: dict[str, Any]) -> None:
    """With three caps of its own an org takes no plan that has one, nor does its plan get one."""
    named = {"rate_card": "default", "caps": [cap | {"id": "p"}]}
    await caller.ok("PUT", "/v1/plans/capped", named)
    status, answer, _ = await caller.send("PUT", "/v1/orgs/acme", {"plan": "capped"})
    assert (status, answer["errors"][0]["pointer"]) == (422, "/plan")
    status, answer, _ = await caller.send("PUT", "/v1/plans/payg", named)
    assert (status, "one request of acme are allowed; this would make 4" in answer["detail"]) == (
        422,
        True,
    )


async def test_who_is_at_a_bound_keeps_what_there_is_and_adds_nothing(tmp_path: Any) -> None:
    bounds = {"most_limits": 4, "most_limits_at_once": 3, "most_members": 2, "most_list_items": 2,
              "most_rulesets": 1}  # fmt: skip
    with running(tmp_path, **bounds) as gateway:
        async with Caller(gateway.address) as caller:
            await caller.prices()
            await caller.org("acme", 10**9)
            cap = {"level": "org", "window": "day", "limit_micros": 10**9}

            async def put(path: str, body: dict[str, Any]) -> tuple[int, str]:
                status, answer, _ = await caller.send("PUT", path, body)
                return status, answer.get("detail", "")

            for n in range(3):
                assert (await put(f"/v1/orgs/acme/caps/c{n}", cap))[0] == 200
            status, said = await put("/v1/orgs/acme/caps/c3", cap)
            assert (status, said) == (
                422,
                "at most 3 caps and rate limits that apply to one request are allowed;"
                " this would make 4",
            )
            await check_plans(caller, cap)
            others = cap | {"level": "user", "target": "u"}
            assert (await put("/v1/orgs/acme/caps/c0", others))[0] == 200, "one less for all"
            assert (await put("/v1/orgs/acme/caps/c3", others | {"target": "v"}))[0] == 200
            status, said = await put("/v1/orgs/acme/caps/c4", others | {"target": "w"})
            assert (status, said) == (422, "at most 4 caps and rate limits of one org are allowed")
            for kind, what in (("users", "projects and users"), ("keys", "keys")):
                for n in range(2):
                    assert (await put(f"/v1/orgs/acme/{kind}/m{n}", {}))[0] == 200
                assert (await put(f"/v1/orgs/acme/{kind}/m0", {"name": "x"}))[0] == 200
                status, said = await put(f"/v1/orgs/acme/{kind}/m2", {})
                assert (status, said) == (422, f"at most 2 {what} of one org are allowed")
            for n in range(2):
                assert (await put(f"/v1/lists/mine/items/i{n}", {}))[0] == 200
            assert (await put("/v1/lists/mine/items/i2", {}))[0] == 422
            rule = "rules:\n  - {id: %s, when: amount > 1 USD, action: review, reason: r}\n"
            assert (await caller.send("POST", "/v1/rulesets", {"text": rule % "a"}))[0] == 200
            assert (await caller.send("POST", "/v1/rulesets", {"text": rule % "b"}))[0] == 422
            assert (await caller.authorize("acme"))["decision"] == "allow"


async def test_users_are_known_by_a_hash_where_that_was_chosen(tmp_path: Any) -> None:
    user = "jane.doe@example.com"
    with running(tmp_path, hash_users=1) as gateway:
        async with Caller(gateway.address) as caller:
            await caller.prices()
            await caller.org("acme", 10**9)
            cap = {"level": "user", "window": "day", "limit_micros": 10_000, "target": user}
            made = await caller.ok("PUT", "/v1/orgs/acme/caps/c", cap)
            known = made["target"]
            assert known.startswith("u_")
            await caller.ok("PUT", "/v1/orgs/acme/keys/k", {"user": user})
            await caller.ok("PUT", f"/v1/orgs/acme/users/{user}", {"name": "n"})
            first = await caller.authorize("acme", user=user, key="k")
            assert first["decision"] == "allow"
            hold = await caller.ok("GET", f"/v1/holds/{first['hold']['id']}")
            assert hold["subject"]["user"] == known
            assert (await caller.authorize("acme", user=user))["decision"] == "deny", "its cap"
            await caller.ok("PUT", f"/v1/lists/block/items/user:acme/{user}", {})
            blocked = await caller.authorize("acme", user=user)
            assert "list_blocked" in [r["code"] for r in blocked["reasons"]] or (
                blocked["decision"] == "deny"
            )
            await caller.reconciled()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert user.encode() not in path.read_bytes(), path
    said = Gateway(tmp_path)
    with pytest.raises(AssertionError, match="every user would become two"):
        said.start()


async def test_a_batch_has_one_body_under_its_key(caller: Caller, org: str) -> None:
    await caller.org(org, 10**9)
    ask = {"subject": {"org": org}, "product": "cent", "quantity": {"units": 1}}
    path = "/v1/authorize/batch"
    _, first, headers = await caller.send("POST", path, {"requests": [ask, ask]}, "b")
    assert "Idempotent-Replayed" not in headers
    _, again, headers = await caller.send("POST", path, {"requests": [ask, ask]}, "b")
    assert again == first
    assert headers["Idempotent-Replayed"] == "true"
    status, problem, _ = await caller.send("POST", path, {"requests": [ask]}, "b")
    assert (status, problem["type"].rpartition(":")[2]) == (422, "idempotency_key_reused")
    assert (await caller.balance(org))["held_micros"] == 20_000


async def test_many_labels_and_a_note(caller: Caller, org: str) -> None:
    await caller.org(org, 10**9)
    made = await caller.authorize(org)
    await caller.reconciled()
    labels = [
        {"decision": made["id"], "label": "fraud", "note": "a stolen card"},
        {"decision": "dec_none", "label": "good"},
    ]
    found = await caller.ok("POST", "/v1/labels/batch", {"labels": labels})
    assert found["results"][0]["note"] == "a stolen card"
    assert found["results"][1]["status"] == 404


async def test_one_path_has_one_key_however_it_is_spelled(caller: Caller, org: str) -> None:
    name = f"caf\u00e9-{org}"
    await caller.ok("PUT", f"/v1/orgs/caf%C3%A9-{org}", {})
    grant = {"amount_micros": 5, "kind": "paid"}
    first = await caller.ok("POST", f"/v1/orgs/caf%C3%A9-{org}/grants", grant, key="g")
    again = await caller.ok("POST", f"/v1/orgs/cafe%CC%81-{org}/grants", grant, key="g")
    assert first == again
    assert (await caller.ok("GET", f"/v1/orgs/{name}"))["id"] == name


async def test_another_level_has_no_target_of_the_one_before(caller: Caller, org: str) -> None:
    await caller.org(org)
    cap = {"level": "user", "target": "u1", "window": "day", "limit_micros": 5}
    await caller.ok("PUT", f"/v1/orgs/{org}/caps/c", cap)
    for level in ("key", "org"):
        body = {"level": level, "window": "day", "limit_micros": 5}
        assert (await caller.ok("PUT", f"/v1/orgs/{org}/caps/c", body))["target"] is None


async def test_a_limited_admin_makes_none_that_is_less_limited(caller: Caller) -> None:
    own = {"name": "l", "scopes": ["admin"], "expires_at": "2098-01-01T00:00:00Z",
           "allowed_networks": ["127.0.0.0/8"]}  # fmt: skip
    made = await caller.ok("POST", "/v1/credentials", own)
    async with Caller(caller.address, made["secret"]) as limited:
        for change, status in (
            ({}, 200),
            ({"expires_at": None}, 403),
            ({"expires_at": "2099-01-01T00:00:00Z"}, 403),
            ({"allowed_networks": None}, 403),
            ({"allowed_networks": ["126.0.0.0/7"]}, 403),
            ({"allowed_networks": ["127.0.0.1", "::1"]}, 403),
            ({"allowed_networks": ["127.0.0.1"]}, 200),
        ):
            assert (await limited.send("POST", "/v1/credentials", own | change))[0] == status
