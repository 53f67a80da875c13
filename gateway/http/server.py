"""Serving: one socket shared by workers, bounded connections, and a clean end."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from dataclasses import dataclass
from typing import cast

from aiohttp import web

from gateway.errors import CallerError
from gateway.http.app import App
from gateway.http.endpoint import PROBLEM, refusal
from gateway.settings import Settings
from gateway.wire import problems

BACKLOG = 1024
FIRST_REQUEST_S, LOOK_S = 2.0, 0.02
"""Time for the first request of a new connection when the worker stops; time between two looks.

The kernel accepted it, so its caller is about to send. Closing it at once would break that request
off, and the caller could not know whether it was carried out.
"""
MOST_TOLD = 200
"""Characters of what is wrong with a request that is no HTTP: it quotes the request."""


class _Connection(web.RequestHandler):
    """A caller's connection; what is no HTTP, or never complete, is answered with a 4xx."""

    _is_midway = False
    """Whether bytes have come since the last answer."""
    is_new = True
    """True until its first answer was sent."""
    is_last = False
    """True once the worker stops: the connection is closed after its next answer."""

    def data_received(self, data: bytes) -> None:
        """Take bytes in."""
        self._is_midway = True
        super().data_received(data)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on reading; each body that is read calls this, and most were never paused."""
        if self._reading_paused or self._buffer_paused:
            super().resume_reading(resume_parser)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer."""
        self._is_midway = self.is_new = False
        if self.is_last:
            resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def force_close(self) -> None:
        """Close, as when the time for a request is over: with an answer if half of it came."""
        transport = self.transport
        waits = self._is_midway and not self._request_in_progress
        if waits and transport is not None and not transport.is_closing():
            transport.write(_TOO_SLOW)
        super().force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP; that is the caller's fault and nothing for the log."""
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        what = (message or "").partition("\n")[0][:MOST_TOLD].rstrip(":")
        response = refusal(CallerError("malformed_request", f"not http: {what}", status=status))
        response.force_close()
        return response


def _too_slow() -> bytes:
    error = CallerError("request_timeout", "the request took too long")
    body = problems.encode(problems.problem(error))
    head = (
        "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
        f"Content-Type: {PROBLEM['Content-Type']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


_TOO_SLOW = _too_slow()


class _TurnedAway(asyncio.Protocol):
    """A connection beyond what a worker keeps: closed as soon as it is made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        cast(asyncio.Transport, transport).abort()


@dataclass(frozen=True)
class Serving:
    """A server that is up."""

    runner: web.ServerRunner
    listener: asyncio.Server

    async def stop(self) -> None:
        """Take no more connections, answer what is under way or about to be sent, close."""
        self.listener.close()
        server, loop = self.runner.server, asyncio.get_running_loop()
        until_s = loop.time() + FIRST_REQUEST_S
        while server is not None and loop.time() < until_s:
            found = [c for c in server.connections if isinstance(c, _Connection)]
            for connection in found:
                connection.is_last = True
            if not any(connection.is_new for connection in found):
                break
            await asyncio.sleep(LOOK_S)
        await self.runner.cleanup()


async def serve(app: App, sock: socket.socket, settings: Settings) -> Serving:
    """Start serving on a bound socket. A connection that brings no whole request is closed."""
    runner = web.ServerRunner(web.Server(app))
    await runner.setup()
    server = runner.server
    assert server is not None

    def protocol() -> asyncio.Protocol:
        if len(server.connections) >= settings.max_connections:
            return _TurnedAway()
        return _Connection(
            server,
            loop=loop,
            access_log=cast(logging.Logger, None),  # aiohttp's own way of having none
            keepalive_timeout=settings.idle_timeout_s,
            auto_decompress=False,
            lingering_time=2.0,
        )

    if sys.platform == "linux":
        # Accepted connections inherit it: who asks but does not read the answers is cut off, too.
        patience_ms = 1000 * settings.idle_timeout_s
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience_ms)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(protocol, sock=sock, backlog=BACKLOG)
    return Serving(runner, listener)
