"""`python -m loadtests.pairs OLD`: CPU seconds a decision, of this checkout beside another one.

Both gateways run all the time; load goes to one and then to the other, again and again, so that
whatever else the machine does hits both alike. What counts is the time of their processes as the
system accounts it, not the clock on the wall. Run it on an otherwise quiet machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from gateway.client import Spendgate
from loadtests.bench import BODY, PATH
from loadtests.generator import generate

KEY = "pairs-key"
TICKS = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 16
PARTS = {
    "worker": "worker",
    "background": "background",
    "backstage": "background",
    "valkey": "store",
}
"""What a process is, by a word of its command line; earlier versions say backstage."""
T95 = {9: 2.306, 10: 2.262, 12: 2.201, 15: 2.145, 20: 2.093}
"""Student's t for the 95 % interval, by how many pairs there are."""


@dataclass
class Checkout:
    """A gateway of one checkout, and what its processes took a decision, round by round."""

    name: str
    directory: Path
    process: subprocess.Popen[str] | None = None
    address: str = ""
    rounds: list[dict[str, float]] = field(default_factory=list)

    def start(self) -> None:
        data = tempfile.mkdtemp(prefix="spendgate-pairs-")
        environment = {
            **os.environ,
            "SPENDGATE_ADMIN_KEY": KEY,
            "SPENDGATE_DATA_DIR": data,
            "SPENDGATE_PORT": "0",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "serve"],
            cwd=self.directory,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if "listening on" not in line:
            raise SystemExit(f"{self.name} did not start: {line!r}")
        self.address = line.split()[-1]

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far, by kind of process."""
        assert self.process is not None
        found = dict.fromkeys(PARTS.values(), 0.0)
        for pid in _below(self.process.pid):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            stat = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
            for mark, part in PARTS.items():
                if mark in command:
                    found[part] += (int(stat[11]) + int(stat[12])) / TICKS
                    break
        return found


def _below(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()
    return [pid, *(one for child in children for one in _below(int(child)))]


async def _prepare(address: str) -> None:
    async with Spendgate(address, KEY) as gateway:
        prices = {"gpt-4o": {"input_tokens": 2_500_000, "output_tokens": 10_000_000}}
        card = {"effective_at": "2026-01-01T00:00:00Z", "currency": "USD", "products": prices}
        await gateway.call("PUT", "/v1/rate_cards/default/versions/v1", card)
        await gateway.call("PUT", "/v1/orgs/bench", {"plan": "payg"})
        grant = {"amount_micros": 10**14, "kind": "paid"}
        await gateway.call("POST", "/v1/orgs/bench/grants", grant)
        for level, window in (("org", "day"), ("user", "month"), ("key", "hour")):
            cap = {"level": level, "window": window, "limit_micros": 10**14}
            await gateway.call("PUT", f"/v1/orgs/bench/caps/{level}", cap)
        for unit in ("requests", "tokens"):
            limit = {"level": "org", "unit": unit, "limit": 10**12, "window_s": 60}
            await gateway.call("PUT", f"/v1/orgs/bench/rate_limits/{unit}", limit)


async def _round(checkout: Checkout, seconds: float, rate: float) -> dict[str, float]:
    """CPU microseconds a decision, by kind of process and in all."""
    host, port = checkout.address.removeprefix("http://").split(":")
    body = BODY.replace('"hold_ttl_s": 3600', '"capture": true')
    request = (
        f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    before = checkout.cpu_s()
    load = await generate(host, int(port), request, CONNECTIONS, seconds, rate)
    await asyncio.sleep(1)
    after = checkout.cpu_s()
    decisions = load.requests_s * seconds
    found = {part: 1e6 * (after[part] - before[part]) / decisions for part in before}
    return found | {"in all": sum(found.values()), "p50 ms": load.p50_ms}


def _interval(ratios: list[float]) -> tuple[float, float, float]:
    middle, count = statistics.median(ratios), len(ratios)
    spread = statistics.stdev(ratios) / count**0.5 if count > 1 else 0.0
    half = T95[max(n for n in T95 if n <= max(count, 9))] * spread
    return middle, middle - half, middle + half


async def measure(old: Checkout, new: Checkout, pairs: int, seconds: float, rate: float) -> None:
    for checkout in (old, new):
        await _prepare(checkout.address)
        await _round(checkout, 3, rate)
    for turn in range(pairs):
        for checkout in (old, new) if turn % 2 else (new, old):
            checkout.rounds.append(await _round(checkout, seconds, rate))
        print(f"pair {turn + 1}: {old.rounds[-1]['in all']:.1f} {new.rounds[-1]['in all']:.1f} us")
    for part in old.rounds[0]:
        ratios = [b[part] / a[part] for a, b in zip(old.rounds, new.rounds, strict=True) if a[part]]
        if ratios:
            before = statistics.median(a[part] for a in old.rounds)
            after = statistics.median(b[part] for b in new.rounds)
            middle, low, high = _interval(ratios)
            print(
                f"{part:10} {before:8.1f} -> {after:8.1f}   x{middle:.3f} [{low:.3f}, {high:.3f}]"
            )


def main() -> None:
    """Compare this checkout with OLD."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=1500)
    given = parser.parse_args()
    old, new = Checkout("old", given.old), Checkout("new", Path.cwd())
    try:
        old.start()
        new.start()
        asyncio.run(measure(old, new, given.pairs, given.seconds, given.rate))
    finally:
        old.stop()
        new.stop()


if __name__ == "__main__":
    main()
