"""A load generator of our own: as much as some connections carry, or arrivals at a steady rate.

Paced arrivals are open-loop: they come at random (Poisson) whatever the answers do, and one that
finds no idle connection waits, which counts. What the generator's own timers add does not.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import deque
from collections.abc import Callable
from typing import Any

TICK_S = 0.001
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


class Load:
    """What a run of a generator found."""

    def __init__(
        self, requests_s: float, p50_ms: float, p99_ms: float, others_s: float = 0.0
    ) -> None:
        self.requests_s, self.p50_ms, self.p99_ms = requests_s, p50_ms, p99_ms
        self.others_s = others_s
        """Answers a second that were not what was wanted; their latencies do not count."""

    def __str__(self) -> str:
        numbers = f"{self.requests_s:8,.0f}/s   p50 {self.p50_ms:6.2f} ms"
        return f"{numbers}   p99 {self.p99_ms:6.2f} ms"


class _Connection(asyncio.Protocol):
    """One keep-alive connection: a request, its whole answer, then `on_idle` hears of it."""

    def __init__(
        self,
        request: bytes,
        wanted: bytes,
        latencies_s: tuple[list[float], list[float]],
        on_idle: Callable[[_Connection], None],
    ) -> None:
        self._request, self._wanted, self._on_idle = request, wanted, on_idle
        self._latencies_s, self._others_s = latencies_s
        self._buffer, self._counted_from = b"", 0.0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._on_idle(self)

    def send(self, counted_from: float) -> None:
        self._counted_from = counted_from
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = LENGTH.search(head)
        if length is None or len(body) < int(length[1]):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"refused: {self._buffer!r}")
        self._buffer = b""
        into = self._latencies_s if self._wanted in body else self._others_s
        into.append(time.perf_counter() - self._counted_from)
        self._on_idle(self)


class _Arrivals:
    """Requests that are due, and connections that are idle: each waits for the other."""

    def __init__(self, rate: float) -> None:
        self._rate, self._chance = rate, random.Random(1)
        self._idle: deque[_Connection] = deque()
        self._late: deque[float] = deque()

    def on_idle(self, connection: _Connection) -> None:
        if self._late:
            connection.send(self._late.popleft())
        else:
            self._idle.append(connection)

    async def run(self, seconds: float) -> None:
        due_at = started = time.perf_counter()
        while (now := time.perf_counter()) < started + seconds:
            while due_at <= now:
                due_at += self._chance.expovariate(self._rate)
                if self._idle:
                    self._idle.popleft().send(time.perf_counter())
                else:
                    self._late.append(now)
            await asyncio.sleep(TICK_S)


async def generate(
    host: str,
    port: int,
    request: bytes,
    connections: int,
    seconds: float,
    rate: float,
    wanted: bytes = b"",
) -> Load:
    """Send `request` over and over: `rate` times a second, or (0) as fast as answers come.

    Answers without `wanted` in them are counted apart.
    """
    latencies_s: list[float] = []
    others_s: list[float] = []
    arrivals = _Arrivals(rate) if rate else None

    def at_once(connection: _Connection) -> None:
        connection.send(time.perf_counter())

    on_idle = arrivals.on_idle if arrivals else at_once

    def connection() -> _Connection:
        return _Connection(request, wanted, (latencies_s, others_s), on_idle)

    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(connection, host, port)
    await (arrivals.run(seconds) if arrivals else asyncio.sleep(seconds))
    ordered = sorted(latencies_s) or [0.0]
    middle, late = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    return Load(len(latencies_s) / seconds, 1000 * middle, 1000 * late, len(others_s) / seconds)
