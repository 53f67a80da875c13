"""`python -m loadtests.neighbours`: what one org's load costs others, where capacity is made.

A store that takes some milliseconds a decision (a library that only this loads), on a core of its
own, makes capacity the same on every machine: what callers cost does not slow it down. Requests
arrive at a rate, whatever becomes of those before. `--checkout DIR` measures the gateway of another
checkout.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from gateway.store.pipeline import Pipeline, parse_url
from loadtests.generator import generate

CONNECTIONS = 400
KEY = "neighbours-key-of-all-scopes"
SPINS_A_MS = 60_000
"""Turns of an empty loop that take about a millisecond; what it really took is measured."""
SLOW_CLOCK = """
local function clock_ms()
  local time = redis.call('TIME')
  for i = 1, %d do end
  return time[1] * 1000 + math.floor(time[2] / 1000)
end"""
BUILD = (
    "import sys; from gateway.store.library import build;"
    " sys.stdout.write(build(sys.stdin.read()).source)"
)


@dataclass
class Seen:
    """What callers of one kind heard, and after how many milliseconds."""

    answers: Counter[str] = field(default_factory=Counter)
    waited_ms: list[float] = field(default_factory=list)

    def percentile(self, percent: float) -> float:
        """The wait of those who were allowed, in ms."""
        found = sorted(self.waited_ms)
        return found[min(len(found) - 1, int(len(found) * percent / 100))] if found else 0.0

    def line(self, name: str) -> str:
        told = ", ".join(f"{answer} {n}" for answer, n in self.answers.most_common())
        return (
            f"{name:28} p50 {self.percentile(50):7.1f}  p99 {self.percentile(99):7.1f} ms  {told}"
        )


class Load:
    """Callers of a gateway."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            headers={"Authorization": f"Bearer {KEY}"},
        )

    async def call(self, method: str, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        """One call: status and answer."""
        async with self.session.request(
            method, self.address + path, json=body, headers=headers
        ) as answer:
            return answer.status, await answer.json(content_type=None)

    async def authorize(self, org: str, seen: Seen) -> None:
        """One request, captured at once."""
        body = {"subject": {"org": org}, "product": "p", "amount_micros": 1, "capture": True}
        began = time.perf_counter()
        status, answer = await self.call("POST", "/v1/authorize", body)
        took_ms = 1000 * (time.perf_counter() - began)
        reasons = answer.get("reasons") if status == 200 else None
        said = answer["decision"] if status == 200 else str(status)
        seen.answers[reasons[0]["code"] if reasons else said] += 1
        if said == "allow":
            seen.waited_ms.append(took_ms)

    async def arrive(self, org: str, rate: float, seconds: float, seen: Seen) -> None:
        """Requests at a rate, each on its own."""
        began, tasks = time.perf_counter(), []
        for n in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + n / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(self.authorize(org, seen)))
        await asyncio.gather(*tasks)

    async def as_it_goes(self, org: str, callers: int, until: float, seen: Seen) -> None:
        """Callers that ask again as soon as they are answered."""

        async def one() -> None:
            while time.perf_counter() < until:
                await self.authorize(org, seen)

        await asyncio.gather(*(one() for _ in range(callers)))

    async def caps(self, org: str, count: int) -> int:
        """Set caps that all apply to all requests of an org; how many were taken."""
        cap = {"level": "org", "window": "day", "limit_micros": 10**12}
        calls = (self.call("PUT", f"/v1/orgs/{org}/caps/c{n}", cap) for n in range(count))
        return sum([(await call)[0] == 200 for call in calls])

    async def batches(self, org: str, callers: int, until: float) -> int:
        """Batches of 500, one after the other by each caller; how many items were allowed."""
        item = {"subject": {"org": org}, "product": "p", "amount_micros": 1, "capture": True}
        allowed = 0

        async def one() -> None:
            nonlocal allowed
            while time.perf_counter() < until:
                body = {"requests": [item] * 500}
                status, answer = await self.call("POST", "/v1/authorize/batch", body)
                if status == 200:
                    allowed += sum(a.get("decision") == "allow" for a in answer["results"])

        await asyncio.gather(*(one() for _ in range(callers)))
        return allowed

    async def strangers(self, callers: int, until: float) -> int:
        """Calls with keys that nobody has; how many."""
        made = 0

        async def one(number: int) -> None:
            nonlocal made
            while time.perf_counter() < until:
                made += 1
                key = f"Bearer sk_{number:032x}{made:032x}"
                await self.call("GET", "/v1/credentials", None, Authorization=key)

        await asyncio.gather(*(one(n) for n in range(callers)))
        return made


async def flood(address: str, rate: float, seconds: float) -> dict[str, float]:
    """Requests of the noisy org at a rate, by a process of its own that costs little."""
    command = [sys.executable, "-m", "loadtests.neighbours", "--flood", address]
    command += ["--rate", str(rate), "--seconds", str(seconds)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    found: dict[str, float] = json.loads(said)
    return found


async def _flood(address: str, rate: float, seconds: float) -> None:
    host, port = address.removeprefix("http://").split(":")
    item = {"subject": {"org": "noisy"}, "product": "p", "amount_micros": 1, "capture": True}
    body = json.dumps(item)
    request = (
        f"POST /v1/authorize HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    allowed = b'"decision":"allow"'
    load = await generate(host, int(port), request, CONNECTIONS, seconds, rate, allowed)
    print(json.dumps({"allowed_s": load.requests_s, "others_s": load.others_s,
                      "p50_ms": load.p50_ms, "p99_ms": load.p99_ms}))  # fmt: skip


async def measure(address: str, seconds: float) -> None:
    """All of it, and whether the books agree."""
    load = Load(address)
    for org in ("quiet", "noisy"):
        await load.call("PUT", f"/v1/orgs/{org}", {"plan": "payg"})
        grant = {"amount_micros": 10**12, "kind": "paid"}
        await load.call("POST", f"/v1/orgs/{org}/grants", grant)
        await load.authorize(org, Seen())
    closed, burst_s = Seen(), 5.0
    await load.as_it_goes("noisy", 8, time.perf_counter() + burst_s, closed)
    capacity = closed.answers["allow"] / burst_s
    print(closed.line("8 callers, as it goes"))
    print(f"capacity {capacity:.0f}/s: {1000 / capacity:.2f} ms a decision")
    alone, beside = Seen(), Seen()
    await load.arrive("quiet", 20, seconds, alone)
    print(alone.line("quiet alone, 20/s"))
    unloaded = await flood(address, capacity / 5, seconds)
    print(f"noisy at a fifth of capacity: {unloaded}")
    quiet = asyncio.create_task(load.arrive("quiet", 20, seconds, beside))
    noisy = await flood(address, 2 * capacity, seconds)
    await quiet
    print(beside.line("quiet beside twice capacity"))
    print(f"noisy at twice capacity: {noisy}")
    goodput = (noisy["allowed_s"] + beside.answers["allow"] / seconds) / capacity
    print(
        f"goodput {goodput:.2f} of capacity; quiet p99 x{ratio(beside, alone):.1f} of alone;"
        f" accepted p99 x{noisy['p99_ms'] / unloaded['p99_ms']:.1f} of unloaded"
    )
    quiet, until = Seen(), time.perf_counter() + seconds
    _, items = await asyncio.gather(
        load.arrive("quiet", 20, seconds, quiet), load.batches("noisy", 8, until)
    )
    print(quiet.line("quiet beside 8 batches of 500"), f"({items} items allowed)")
    quiet, until = Seen(), time.perf_counter() + seconds
    _, made = await asyncio.gather(
        load.arrive("quiet", 20, seconds, quiet), load.strangers(8, until)
    )
    print(quiet.line("quiet beside 8 with bad keys"), f"({made} calls)")
    taken = await load.caps("noisy", 2500)
    quiet, many, until = Seen(), Seen(), time.perf_counter() + seconds
    await asyncio.gather(
        load.arrive("quiet", 20, seconds, quiet), load.as_it_goes("noisy", 8, until, many)
    )
    print(quiet.line("quiet beside an org of caps"), f"({taken} of 2500 caps taken)")
    print(many.line("the org of caps, 8 callers"))
    _, report = await load.call("GET", "/v1/ledger/reconcile", None)
    print(f"reconcile ok: {report['ok']}")
    await load.session.close()


def ratio(one: Seen, other: Seen) -> float:
    """How many times the other's p99."""
    return one.percentile(99) / max(0.001, other.percentile(99))


def slower(checkout: Path, slow_ms: float) -> str:
    """The library of a checkout, each of whose functions takes so much longer."""
    clock = SLOW_CLOCK % int(slow_ms * SPINS_A_MS)
    return subprocess.run(  # noqa: S603  our own command
        [sys.executable, "-c", BUILD],
        input=clock,
        capture_output=True,
        text=True,
        check=True,
        cwd=checkout,
    ).stdout


async def prepare_store(source: str, directory: str, core: int) -> None:
    """Put a library in the place of the one of the same name, and the store on a core."""
    pipeline = Pipeline(parse_url(f"unix://{directory}/valkey/valkey.sock"), deadline_s=10)
    await pipeline.call("FUNCTION", "LOAD", "REPLACE", source)
    lines = (await pipeline.call("INFO", "server")).decode().splitlines()
    pid = next(line.split(":")[1] for line in lines if line.startswith("process_id:"))
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), {core})
    await pipeline.close()


def main() -> None:
    """Start a gateway, slow its store down, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, default=Path.cwd())
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--slow-ms", type=float, default=2)
    parser.add_argument("--flood", default="", help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.flood:
        uvloop.run(_flood(given.flood, given.rate, given.seconds))
        return
    store_core, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, others or {store_core})
    with tempfile.TemporaryDirectory(prefix="spendgate-n-") as directory:
        environment = {
            **os.environ,
            "SPENDGATE_ADMIN_KEY": KEY,
            "SPENDGATE_DATA_DIR": directory,
            "SPENDGATE_PORT": "0",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "serve"],
            cwd=given.checkout, env=environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        try:
            source = slower(given.checkout, given.slow_ms)
            asyncio.run(prepare_store(source, directory, store_core))
            asyncio.run(measure(address, given.seconds))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


if __name__ == "__main__":
    main()
