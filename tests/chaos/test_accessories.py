"""What only accompanies decisions may fail: they go on, and somebody says what is missing."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

from tests.databases import Postgres
from tests.e2e.test_processes import children
from tests.gateways import Caller, running


async def test_metrics_that_cannot_be_written_stop_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        async with Caller(gateway.address) as caller:
            await caller.prices()
            await caller.org("acme", 10**9)
            shutil.rmtree(tmp_path / "metrics")
            (tmp_path / "metrics").write_text("in the way")
            assert gateway.process is not None
            before = children(gateway.process.pid)
            for _ in range(30):
                assert (await caller.authorize("acme"))["decision"] == "allow"
                await asyncio.sleep(0.1)
            assert children(gateway.process.pid).keys() == before.keys()
            assert caller.session is not None
            async with caller.session.get(f"{gateway.address}/metrics") as answer:
                assert answer.status == 200


async def test_without_its_ledger_it_is_ready_and_says_what_is_missing(
    tmp_path: Path, postgres: Postgres
) -> None:
    url = postgres.database()
    with running(tmp_path, ledger_url=url) as gateway:
        async with Caller(gateway.address) as caller:
            await caller.prices()
            await caller.org("acme", 10**9)
            await caller.authorize("acme")
            assert await caller.ok("GET", "/readyz") == {"ok": True, "degraded": []}
            postgres.drop(url)
            for _ in range(100):
                status, answer, _ = await caller.send("GET", "/readyz")
                assert status == 200
                if answer["degraded"]:
                    break
                await asyncio.sleep(0.05)
            assert answer["degraded"] == ["ledger"]
            assert (await caller.authorize("acme"))["decision"] == "allow"
            assert gateway.process is not None
            gateway.process.send_signal(signal.SIGHUP)
            assert await asyncio.to_thread(gateway.process.wait, 60) == 0, "as SIGTERM does"
