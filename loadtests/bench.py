"""`make bench`: how fast the gateway decides, beside an empty handler in the same run.

Everything shares one machine: the load generator, the gateway's worker, its store with an fsync
a commit, and the ledger's writer. So only the ratio of a pair measured in one run means something.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from aiohttp import web

from gateway.client import Spendgate
from gateway.store.pipeline import Pipeline, parse_url

CONNECTIONS = 32
PATH = "/v1/authorize"
BODY = json.dumps(
    {
        "subject": {"org": "bench", "project": "search", "user": "u_17", "key": "k_9"},
        "product": "gpt-4o",
        "quantity": {"input_tokens": 1200, "output_tokens": 800},
        "hold_ttl_s": 3600,
    }
)
HOLDS = 100_000


class Load:
    """What a run of the generator found."""

    def __init__(self, requests_s: float, p50_ms: float, p99_ms: float) -> None:
        self.requests_s, self.p50_ms, self.p99_ms = requests_s, p50_ms, p99_ms

    def __str__(self) -> str:
        numbers = f"{self.requests_s:8,.0f}/s   p50 {self.p50_ms:6.2f} ms"
        return f"{numbers}   p99 {self.p99_ms:6.2f} ms"


def full_load(address: str, key: str, seconds: float) -> Load:
    """As much as CONNECTIONS connections carry: by wrk where it is installed, else by our own."""
    if shutil.which("wrk"):
        return _by_wrk(address, key, seconds)
    return paced_load(address, key, seconds, None)


def _by_wrk(address: str, key: str, seconds: float) -> Load:
    script = Path(tempfile.mkdtemp(prefix="spendgate-bench-")) / "authorize.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = {json.dumps(BODY)}\n'
        f'wrk.headers["Authorization"] = "Bearer {key}"\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
    )
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "--latency"]
    run = subprocess.run(  # noqa: S603  our own command
        [*command, "-s", str(script), address + PATH], capture_output=True, text=True, check=True
    )
    if "Non-2xx" in run.stdout:
        raise SystemExit(f"the gateway refused requests:\n{run.stdout}")

    def latency(percent: int) -> float:
        found = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", run.stdout)
        assert found is not None, run.stdout
        return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]

    rate = re.search(r"Requests/sec:\s+([\d.]+)", run.stdout)
    assert rate is not None, run.stdout
    return Load(float(rate[1]), latency(50), latency(99))


def paced_load(address: str, key: str, seconds: float, rate: float | None) -> Load:
    """The generator that ships here, in a process of its own; `rate` requests/s or as it goes."""
    command = [sys.executable, "-m", "loadtests.bench", "--generate", address, "--key", key]
    command += ["--seconds", str(seconds), "--rate", str(rate or 0)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  ours
    return Load(*json.loads(run.stdout))


class _Connection(asyncio.Protocol):
    """One keep-alive connection: a request, its whole answer, the next."""

    def __init__(self, request: bytes, latencies_s: list[float], pause_s: float) -> None:
        self._request, self._latencies_s, self._pause_s = request, latencies_s, pause_s
        self._buffer, self._sent_at, self._due_at = b"", 0.0, 0.0
        self._transport: Any = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._due_at = time.perf_counter()
        self._send(self._due_at)

    def _send_on_time(self) -> None:
        # A timer that fires late is the generator's fault, not the gateway's.
        self._send(time.perf_counter())

    def _send(self, counted_from: float) -> None:
        self._sent_at = counted_from
        self._due_at += self._pause_s
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if length is None or len(body) < int(length[1]):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"refused: {self._buffer!r}")
        self._buffer = b""
        now = time.perf_counter()
        self._latencies_s.append(now - self._sent_at)
        if self._pause_s and self._due_at > now:
            self._loop.call_later(self._due_at - now, self._send_on_time)
        else:
            # Behind its time: a slow answer must not hide the wait of those behind it.
            self._send(self._due_at if self._pause_s else now)


async def _generate(address: str, key: str, seconds: float, rate: float) -> Load:
    host, port = address.removeprefix("http://").split(":")
    request = (
        f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}"
    ).encode()
    latencies_s: list[float] = []
    pause_s = CONNECTIONS / rate if rate else 0.0
    loop = asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        await loop.create_connection(
            lambda: _Connection(request, latencies_s, pause_s), host, int(port)
        )
        await asyncio.sleep(pause_s / CONNECTIONS)
    await asyncio.sleep(seconds)
    ordered = sorted(latencies_s)
    middle, late = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    return Load(len(ordered) / seconds, 1000 * middle, 1000 * late)


async def _serve_empty(port: int) -> None:
    """The empty aiohttp + uvloop handler: reads the body, answers a little JSON."""

    async def empty(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b'{"ok":true}', content_type="application/json")

    app = web.Application()
    app.router.add_post(PATH, empty)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    bound = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]  # just started
    print(f"listening on http://127.0.0.1:{bound}", flush=True)
    await asyncio.Event().wait()


class Process:
    """A child that says `… listening on <address>` when it is ready."""

    def __init__(self, command: list[str], **environment: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603  our own command
            command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().split()[-1]
        self.pid = self._process.pid

    def stop(self) -> None:
        """End it and wait."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)


async def set_up(address: str, key: str) -> None:
    """An org with three caps, two rate limits, a grant, adjustments and a credit line."""
    async with Spendgate(address, key) as gateway:
        card = {
            "effective_at": "2026-01-01T00:00:00Z",
            "currency": "USD",
            "products": {"gpt-4o": {"input_tokens": 2_500_000, "output_tokens": 10_000_000}},
        }
        await gateway.call("PUT", "/v1/rate_cards/default/versions/v1", card)
        org = "/v1/orgs/bench"
        await gateway.call("PUT", org, {"plan": "payg", "credit_line_micros": 10**9})
        grant = {"amount_micros": 10**15, "kind": "paid"}
        await gateway.call("POST", f"{org}/grants", grant)
        for level in ("org", "project", "key"):
            cap = {"level": level, "window": "day", "limit_micros": 10**15}
            await gateway.call("PUT", f"{org}/caps/{level}-daily", cap)
        for unit in ("requests", "tokens"):
            limit = {"level": "org", "unit": unit, "limit": 10**15}
            await gateway.call("PUT", f"{org}/rate_limits/{unit}", limit)


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def _workers(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            command = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == parent and b"worker" in command:
            found.append(int(path.parent.name))
    return found


async def _open_holds(address: str, key: str, directory: Path, count: int) -> float:
    """MiB that `count` open holds take in the store, records trimmed."""
    pipeline = Pipeline(parse_url(f"unix://{directory}/valkey/valkey.sock"), deadline_s=30)

    async def used() -> int:
        text = (await pipeline.call("INFO", "memory")).decode()
        found = re.search(r"used_memory:(\d+)", text)
        assert found is not None
        return int(found[1])

    before = await used()
    headers = {"Authorization": f"Bearer {key}"}
    batch = {"requests": [json.loads(BODY)] * 500}
    # Without idempotency keys: what is kept under them is not what a hold takes.
    async with aiohttp.ClientSession(headers=headers) as session:
        for _ in range(count // 500):
            async with session.post(f"{address}{PATH}/batch", json=batch) as answer:
                answer.raise_for_status()
    await asyncio.sleep(2)
    after = await used()
    await pipeline.close()
    return (after - before) / 2**20


def bench(seconds: float, rounds: int) -> None:
    """Measure pairs, then half the load, then memory; print what was found."""
    key = secrets.token_hex(16)
    directory = Path(tempfile.mkdtemp(prefix="spendgate-bench-"))
    serve = [sys.executable, "-m", "gateway.cli", "serve", "--port", "0"]
    gateway = Process(
        [*serve, "--data-dir", str(directory)], SPENDGATE_ADMIN_KEY=key, SPENDGATE_WORKERS="1"
    )
    empty = Process([sys.executable, "-m", "loadtests.bench", "--empty"])
    try:
        asyncio.run(set_up(gateway.address, key))
        full_load(gateway.address, key, 2)
        full_load(empty.address, key, 1)
        pairs = []
        for number in range(rounds):
            nothing = full_load(empty.address, key, seconds)
            ours = full_load(gateway.address, key, seconds)
            pairs.append((nothing, ours))
            print(f"round {number + 1}  empty handler {nothing}", flush=True)
            print(f"         authorize     {ours}", flush=True)
            time.sleep(1)
        ratio = statistics.median(o.requests_s / n.requests_s for n, o in pairs)
        print(f"ratio (median of {rounds} pairs): {ratio:.3f}")
        half = statistics.median(o.requests_s for _, o in pairs) / 2
        print(f"half of that load   {paced_load(gateway.address, key, seconds, half)}")
        for worker in _workers(gateway.pid):
            print(f"worker              {_resident_mib(worker):.0f} MiB resident")
        grown = asyncio.run(_open_holds(gateway.address, key, directory, HOLDS))
        print(f"{HOLDS:,} open holds  {grown:.0f} MiB in the store")
    finally:
        empty.stop()
        gateway.stop()
        shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    """Parse arguments: the bench itself, or one of its children."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--empty", action="store_true", help="serve the empty handler")
    parser.add_argument("--generate", metavar="ADDRESS", help="only generate load")
    parser.add_argument("--key", default="")
    parser.add_argument("--rate", type=float, default=0)
    given = parser.parse_args()
    if given.empty:
        uvloop.run(_serve_empty(0))
    elif given.generate:
        load = uvloop.run(_generate(given.generate, given.key, given.seconds, given.rate))
        print(json.dumps([load.requests_s, load.p50_ms, load.p99_ms]))
    else:
        bench(given.seconds, given.rounds)


if __name__ == "__main__":
    main()
