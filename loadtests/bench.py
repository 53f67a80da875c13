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

import aiohttp
import uvloop
from aiohttp import web

from gateway.client import Spendgate
from gateway.store.pipeline import Pipeline, parse_url
from loadtests.generator import Load, generate
from loadtests.lag import lags

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


def full_load(address: str, key: str, seconds: float) -> Load:
    """As much as CONNECTIONS connections carry: by wrk where it is installed, else by our own."""
    if shutil.which("wrk"):
        return _by_wrk(address, key, seconds)
    return paced_load(address, key, seconds, None)


def _by_wrk(address: str, key: str, seconds: float, pause_ms: float = 0.0) -> Load:
    script = Path(tempfile.mkdtemp(prefix="spendgate-bench-")) / "authorize.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = {json.dumps(BODY)}\n'
        f'wrk.headers["Authorization"] = "Bearer {key}"\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
        # Whole ms between 0 and twice the pause, at random: connections do not fall into step.
        + (f"function delay() return math.random(0, {round(2 * pause_ms)}) end\n" * (pause_ms > 0))
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


def half_load(address: str, key: str, seconds: float, rate: float) -> Load:
    """Arrivals at about `rate` a second: by wrk where it is installed, else by our own."""
    if not shutil.which("wrk"):
        return paced_load(address, key, seconds, rate)
    # A caller's cycle is its pause and its answer: the second is known after a first look.
    pause_ms = 1000 * CONNECTIONS / rate
    pause_ms -= _by_wrk(address, key, 1, pause_ms).p50_ms
    return _by_wrk(address, key, seconds, max(1.0, pause_ms))


def paced_load(address: str, key: str, seconds: float, rate: float | None) -> Load:
    """The generator that ships here, in a process of its own; `rate` requests/s or as it goes."""
    command = [sys.executable, "-m", "loadtests.bench", "--generate", address, "--key", key]
    command += ["--seconds", str(seconds), "--rate", str(rate or 0)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  ours
    return Load(*json.loads(run.stdout))


async def _generate(address: str, key: str, seconds: float, rate: float) -> Load:
    host, port = address.removeprefix("http://").split(":")
    request = (
        f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}"
    ).encode()
    return await generate(host, int(port), request, CONNECTIONS, seconds, rate)


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
        for _ in range(rounds):
            print(f"half of that load   {half_load(gateway.address, key, seconds, half)}")
        # By itself: whoever looks takes some of the load away.
        with lags(directory) as seen:
            full_load(gateway.address, key, seconds)
        print(f"ledger behind by    {max(seen):.2f} s at most, at full load")
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
        # In a process of its own: what was measured before leaves nothing behind.
        for part in ("books", "rules", "tallies", "backtests", "models"):
            subprocess.run([sys.executable, "-m", f"loadtests.{part}"], check=True)  # noqa: S603  our own


if __name__ == "__main__":
    main()
