"""A store that is lost is built from the ledger: caps of every kind, holds, grants for one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.gateways import Caller, running
from tests.scenarios.steps import CENT, codes, eventually

CAPS: dict[str, dict[str, Any]] = {
    "money": {"window": "month", "limit_micros": 100 * CENT},
    "images": {"window": "month", "units": ["images"], "limit": 20},
    "rolling": {"window_s": 86_400, "limit_micros": 100 * CENT},
    "rolling-images": {"window_s": 86_400, "units": ["images"], "limit": 20},
    "users": {"level": "user", "window_s": 86_400, "units": ["images"], "limit": 10},
}
IMAGES = {"product": "image", "user": "jane"}


async def test_caps_and_holds_are_as_they_were(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        async with Caller(gateway.address) as caller:
            await caller.prices()
            await caller.org("acme", 1_000 * CENT)
            given = {"amount_micros": 5 * CENT, "kind": "paid", "for": {"user": "jane"}}
            await caller.ok("POST", "/v1/orgs/acme/grants", given)
            for name, cap in CAPS.items():
                await caller.ok("PUT", f"/v1/orgs/acme/caps/{name}", {"level": "org", **cap})
            first = await caller.authorize("acme", **IMAGES, quantity={"images": 4})
            await caller.capture(first["hold"]["id"], quantity={"images": 3})
            still = await caller.authorize("acme", **IMAGES, quantity={"images": 2})
            freed = await caller.authorize("acme", **IMAGES, quantity={"images": 1})
            await caller.release(freed["hold"]["id"])
            await caller.authorize("acme", **IMAGES, quantity={"images": 2}, capture=True)
            before = await caller.balance("acme")

            async def is_booked() -> bool:
                return not (await caller.ok("GET", "/v1/ledger/reconcile"))["lag_s"]

            await eventually(is_booked, wanted=True)
    shutil.rmtree(tmp_path / "valkey")
    with running(tmp_path) as gateway:
        async with Caller(gateway.address) as caller:
            await caller.reconciled()
            after = await caller.balance("acme")
            assert after["available_micros"] == before["available_micros"]
            assert after["grants"] == before["grants"]
            assert [used(row) for row in after["caps"]] == [used(row) for row in before["caps"]]
            assert {
                row["used"] + row["held"] for row in after["caps"] if row["unit"] != "micros"
            } == {7}
            await caller.capture(still["hold"]["id"], quantity={"images": 0})
            rows = (await caller.balance("acme"))["caps"]
            assert {row["used"] + row["held"] for row in rows if row["unit"] != "micros"} == {5}
            denied = await caller.authorize("acme", **IMAGES, quantity={"images": 6})
            assert codes(denied) == ["cap_exceeded"]
            await caller.reconciled()


def used(row: Any) -> tuple[Any, ...]:
    return row["id"], row["target"], row["used"], row["held"], row["remaining"]
