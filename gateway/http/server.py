"""Serving: one socket shared by workers, bounded connections, and a clean end."""

from __future__ import annotations

import asyncio
import resource
import socket
from dataclasses import dataclass
from typing import cast

from aiohttp import web

from gateway.http.app import App
from gateway.settings import Settings

BACKLOG = 1024


def listening_socket(host: str, port: int) -> socket.socket:
    """A TCP socket that other processes may share (SO_REUSEPORT)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.bind((host, port))
    return found


def raise_file_limit() -> None:
    """As many open files, and so connections, as the system lets us have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


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
        """Take no more connections, finish the requests under way, close."""
        self.listener.close()
        await self.runner.cleanup()


async def serve(app: App, sock: socket.socket, settings: Settings) -> Serving:
    """Start serving on a bound socket. A connection that brings no whole request is closed."""
    runner = web.ServerRunner(
        web.Server(
            app,
            access_log=None,
            keepalive_timeout=settings.idle_timeout_s,
            auto_decompress=False,
            lingering_time=2.0,
        )
    )
    await runner.setup()
    server = runner.server
    assert server is not None

    def protocol() -> asyncio.Protocol:
        if len(server.connections) >= settings.max_connections:
            return _TurnedAway()
        return server()

    loop = asyncio.get_running_loop()
    listener = await loop.create_server(protocol, sock=sock, backlog=BACKLOG)
    return Serving(runner, listener)
