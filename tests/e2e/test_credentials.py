"""Credentials expire, rotate and may be bound to networks; made-up ones cost little."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from tests.e2e.test_security import refused_in_time, used
from tests.gateways import Caller, Gateway, running

__all__ = ["used"]


async def test_two_secrets_work_until_the_overlap_is_over(used: Gateway) -> None:
    async with Caller(used.address) as admin:
        body = {"name": "rotated", "scopes": ["admin"]}
        made = await admin.ok("POST", "/v1/credentials", body)
        path = f"/v1/credentials/{made['id']}/rotate"
        second = await admin.ok("POST", path, {"overlap_s": 3600}, key="r")
        assert await admin.ok("POST", path, {"overlap_s": 3600}, key="r") == second
        for secret in (made["secret"], second["secret"]):
            async with Caller(used.address, secret) as caller:
                await caller.ok("GET", "/v1/credentials")
        third = await admin.ok("POST", path, {})
        async with Caller(used.address, second["secret"]) as caller:
            assert await refused_in_time(caller) == 401
        async with Caller(used.address, third["secret"]) as caller:
            await caller.ok("GET", "/v1/credentials")


async def test_what_has_expired_or_comes_from_elsewhere_is_refused(used: Gateway) -> None:
    async with Caller(used.address) as admin:
        status, problem, _ = await admin.send(
            "POST", "/v1/credentials",
            {"name": "late", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"},
        )  # fmt: skip
        assert (status, problem["errors"][0]["pointer"]) == (422, "/expires_at")
        elsewhere = {"name": "far", "scopes": ["admin"], "allowed_networks": ["192.0.2.0/24"]}
        made = await admin.ok("POST", "/v1/credentials", elsewhere)
        async with Caller(used.address, made["secret"]) as caller:
            for more in ({}, {"X-Forwarded-For": "192.0.2.1"}):
                status, _, _ = await caller.send("GET", "/v1/credentials", **more)
                assert status == 403, "no proxy is trusted"
        here = elsewhere | {"allowed_networks": ["127.0.0.0/8"]}
        made = await admin.ok("POST", "/v1/credentials", here)
        async with Caller(used.address, made["secret"]) as caller:
            await caller.ok("GET", "/v1/credentials")
        listed = (await admin.ok("GET", "/v1/credentials"))["credentials"]
        assert ["127.0.0.0/8"] in [c["allowed_networks"] for c in listed]


async def test_the_first_admin_key_goes_once_there_is_another_admin(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        async with Caller(gateway.address) as first:
            status, problem, _ = await first.send("DELETE", "/v1/credentials/cred_admin")
            assert (status, problem["type"].rpartition(":")[2]) == (409, "last_admin")
            made = await first.ok("POST", "/v1/credentials", {"name": "b", "scopes": ["admin"]})
            async with Caller(gateway.address, made["secret"]) as second:
                await second.ok("DELETE", "/v1/credentials/cred_admin")
                assert await refused_in_time(first) == 401
                await second.ok("GET", "/v1/credentials")


async def test_made_up_keys_are_all_refused_and_a_new_one_is_known_at_once(used: Gateway) -> None:
    async def stranger(n: int) -> int:
        async with Caller(used.address, f"sk_{n:064x}") as caller:
            return (await caller.send("GET", "/v1/credentials"))[0]

    async with Caller(used.address) as admin:
        statuses = await asyncio.gather(*(stranger(n) for n in range(100)))
        assert set(statuses) == {401}
        made = await admin.ok("POST", "/v1/credentials", {"name": "n", "scopes": ["admin"]})
        async with Caller(used.address, made["secret"]) as caller:
            statuses = [
                (await caller.send("GET", "/v1/credentials", Connection="close"))[0]
                for _ in range(8)
            ]
        assert set(statuses) == {200}


async def test_every_answer_has_a_request_id(used: Gateway) -> None:
    async with Caller(used.address) as caller:
        for path in ("/healthz", "/v1/credentials", "/nowhere", "/v1/orgs/none"):
            _, _, headers = await caller.send("GET", path)
            assert re.fullmatch(r"req_[0-9a-f]+", headers["X-Request-Id"])
        _, _, headers = await caller.send("GET", "/healthz", **{"X-Request-Id": "mine-1"})
        assert headers["X-Request-Id"] == "mine-1"
