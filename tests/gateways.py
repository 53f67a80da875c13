"""Real gateways: `spendgate serve` as a process of its own, and how tests talk to it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from gateway.observe.metrics import UNSETTLED, gauge

ADMIN_KEY = "test-admin-key-of-all-scopes"
START_S = 60
PATIENT = {"decision_deadline_ms": 5000, "queue_target_ms": 20_000, "queue_deadline_ms": 60_000}
"""A noisy machine stalls for longer than what is shipped, which has its own tests."""
PRICES = {
    "gpt-4o": {"input_tokens": 2_500_000, "output_tokens": 10_000_000},
    "cent": {"units": 10_000_000_000},
    "image": {"images": 40_000_000_000},
}
"""cent: a unit costs 10,000 micros (one cent)."""


class Gateway:
    """A running `spendgate serve`."""

    def __init__(self, directory: Path, workers: int = 1, **settings: Any) -> None:
        self.directory = directory
        self.settings = {"workers": workers, **PATIENT, **settings}
        self.process: subprocess.Popen[str] | None = None
        self.address = ""

    def start(self, port: int = 0, *options: str) -> None:
        environment = {
            **os.environ,
            "SPENDGATE_ADMIN_KEY": ADMIN_KEY,
            "SPENDGATE_DATA_DIR": str(self.directory),
            "SPENDGATE_PORT": str(port),
            **{f"SPENDGATE_{n.upper()}": str(v) for n, v in self.settings.items()},
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "serve", *options],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.errors: list[str] = []
        threading.Thread(target=self._read_errors, daemon=True).start()
        started = time.monotonic()
        line = self.process.stdout.readline()
        assert "listening on" in line, (line, self.errors, time.monotonic() - started)
        self.address = line.split()[-1]

    def _read_errors(self) -> None:
        assert self.process is not None and self.process.stderr is not None
        self.errors += iter(self.process.stderr)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    @property
    def store_url(self) -> str:
        return f"unix://{self.directory / 'valkey' / 'valkey.sock'}"

    async def counted(self) -> None:
        """Wait until each process has written what it counted up to now."""
        now_s, files = time.time(), list((self.directory / "metrics").glob("*.json"))
        async with asyncio.timeout(30):
            while True:
                if all(file.stat().st_mtime > now_s for file in files):
                    return
                await asyncio.sleep(0.05)

    async def settled(self) -> None:
        """Wait until all that an outage left behind is reversed or charged."""
        async with asyncio.timeout(60):
            while True:
                await self.counted()
                if gauge(self.directory / "metrics", UNSETTLED) == 0:
                    return


@contextmanager
def running(directory: Path, workers: int = 1, **settings: Any) -> Iterator[Gateway]:
    gateway = Gateway(directory, workers, **settings)
    gateway.start()
    try:
        yield gateway
    finally:
        if gateway.process is not None and gateway.process.poll() is None:
            gateway.stop()


@contextmanager
def priced(directory: Path) -> Iterator[Gateway]:
    """One with two workers and prices."""
    with running(directory, workers=2) as found:

        async def price() -> None:
            async with Caller(found.address) as caller:
                await caller.prices()

        asyncio.run(price())
        yield found


class Caller:
    """Raw HTTP as any client would send it: (status, JSON, headers)."""

    def __init__(self, address: str, key: str = ADMIN_KEY) -> None:
        self.address = address
        self.headers = {"Authorization": f"Bearer {key}"}
        self.session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Caller:
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.session is not None
        await self.session.close()

    async def send(
        self, method: str, path: str, body: Any = None, key: str | None = None, **headers: str
    ) -> tuple[int, Any, Any]:
        assert self.session is not None
        sent = {**self.headers, **headers}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else msgspec.json.encode(body)
            sent.setdefault("Content-Type", "application/json")
        if key is not None:
            sent["Idempotency-Key"] = key
        async with self.session.request(
            method, self.address + path, data=data, headers=sent
        ) as answer:
            raw = await answer.read()
            return answer.status, msgspec.json.decode(raw) if raw else None, answer.headers

    async def ok(self, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
        status, answer, _ = await self.send(method, path, body, key)
        assert status < 300, (status, answer)
        return answer

    async def authorize(self, org: str, product: str = "cent", **more: Any) -> Any:
        """Authorize; `more` may name project, user and key of the subject."""
        subject = {"org": org}
        for name in ("project", "user", "key"):
            if name in more:
                subject[name] = more.pop(name)
        idempotency_key = more.pop("idempotency_key", None)
        if "quantity" not in more and "amount_micros" not in more:
            more["quantity"] = {"units": 1}
        body = {"subject": subject, "product": product, **more}
        return await self.ok("POST", "/v1/authorize", body, idempotency_key)

    async def capture(self, hold: str, key: str | None = None, **use: Any) -> Any:
        return await self.ok("POST", f"/v1/holds/{hold}/capture", use, key)

    async def release(self, hold: str) -> Any:
        return await self.ok("POST", f"/v1/holds/{hold}/release", {})

    async def balance(self, org: str) -> Any:
        return await self.ok("GET", f"/v1/orgs/{org}/balance")

    async def org(self, org: str, credit_micros: int = 0, **more: Any) -> str:
        """An org with so much paid credit. Returns its id."""
        path = f"/v1/orgs/{quote(org, safe='')}"
        await self.ok("PUT", path, {"plan": "payg", **more})
        if credit_micros:
            grant = {"amount_micros": credit_micros, "kind": "paid"}
            await self.ok("POST", f"{path}/grants", grant)
        return org

    async def prices(self) -> None:
        card = {"effective_at": "2020-01-01T00:00:00Z", "currency": "USD", "products": PRICES}
        await self.ok("PUT", "/v1/rate_cards/default/versions/v1", card)

    async def reconciled(self) -> Any:
        report = await self.ok("GET", "/v1/ledger/reconcile")
        assert report["ok"], report
        return report
