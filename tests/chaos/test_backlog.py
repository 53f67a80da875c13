"""A ledger that does not keep up: requests are refused before records fill the store."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from tests.chaos.audit import reconciled_in_time
from tests.chaos.kills import children
from tests.gateways import Caller, running

BOUND = 60


async def test_at_the_bound_requests_are_refused_and_holds_still_end(tmp_path: Path) -> None:
    with running(tmp_path, backlog_bound=BOUND) as gateway:
        assert gateway.process is not None
        background = next(p for p, k in children(gateway.process.pid) if k == "background")
        async with Caller(gateway.address) as caller:
            await caller.prices()
            await caller.org("acme", 10_000_000)
            os.kill(background, signal.SIGSTOP)
            holds, first = [], await caller.authorize("acme", idempotency_key="first")
            async with asyncio.timeout(20):
                while True:
                    answer = await caller.authorize("acme")
                    if answer["decision"] == "deny":
                        break
                    holds.append(answer["hold"]["id"])
                    await asyncio.sleep(0.01)
            assert [r["code"] for r in answer["reasons"]] == ["ledger_backlog"]
            assert (answer["status_hint"], answer["degraded"]) == (503, True)
            status, problem, _ = await caller.send("GET", "/readyz")
            assert (status, problem["type"]) == (503, "urn:spendgate:problem:ledger_backlog")
            # What was decided stays decided, and what stands can end.
            assert await caller.authorize("acme", idempotency_key="first") == first
            assert (await caller.capture(holds[0], quantity={"units": 1}))["status"] == "captured"
            assert (await caller.release(holds[1]))["status"] == "released"
            os.kill(background, signal.SIGCONT)
            await reconciled_in_time(caller)
            async with asyncio.timeout(5):
                while (await caller.authorize("acme"))["decision"] != "allow":  # noqa: ASYNC110  another process changes it
                    await asyncio.sleep(0.05)
            status, _, _ = await caller.send("GET", "/readyz")
            assert status == 200
