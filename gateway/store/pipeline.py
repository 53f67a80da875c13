"""One connection, many callers: commands queued together share a write, and so an fsync."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlparse

import hiredis

from gateway.errors import OperatorError, Unavailable

Argument = str | bytes | int

FLUSH_AT = 4
"""Write out after this many queued commands: early enough that store and gateway overlap."""


@dataclass(frozen=True)
class Address:
    """Where a store is and how to sign in."""

    host: str = ""
    port: int = 6379
    path: str = ""
    username: str = ""
    password: str = ""
    database: int = 0
    tls: bool = False


def parse_url(url: str) -> Address:
    """redis://, rediss://, valkey(s):// or unix:// to an address. Raises OperatorError."""
    parts = urlparse(url)
    schemes = {"redis": False, "valkey": False, "rediss": True, "valkeys": True, "unix": False}
    if parts.scheme not in schemes:
        raise OperatorError(
            "bad_store_url", f"the store url must start with redis:// or unix://, not {url!r}"
        )
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme == "unix":
        database = parse_qs(parts.query).get("db", ["0"])[0]
        return Address(
            path=parts.path, username=username, password=password, database=int(database)
        )
    return Address(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 6379,
        username=username,
        password=password,
        database=int(parts.path.strip("/") or 0),
        tls=schemes[parts.scheme],
    )


class _Protocol(asyncio.Protocol):
    """Replies in the order of the commands. A lost connection fails what waits, never mixes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._sent_at: deque[float] = deque()
        self._queue: list[bytes] = []
        self._is_scheduled = False
        self._transport: asyncio.Transport | None = None
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are Transports by what they do, not by their class.
        self._transport = cast(asyncio.Transport, transport)

    def call(self, args: tuple[Argument, ...]) -> asyncio.Future[Any]:
        """Queue one command; its reply, or an error, resolves the future."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue.append(hiredis.pack_command(args))  # type: ignore[arg-type]  # stub too narrow
        self._waiting.append(future)
        self._sent_at.append(self._loop.time())
        if len(self._queue) >= FLUSH_AT:
            self._flush()
        elif not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._flush_scheduled)
        return future

    def _flush_scheduled(self) -> None:
        self._is_scheduled = False
        self._flush()

    def _flush(self) -> None:
        if self._queue and self._transport is not None and not self.is_lost:
            self._transport.write(b"".join(self._queue))
        self._queue.clear()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            future = self._waiting.popleft()
            self._sent_at.popleft()
            if future.done():
                continue
            if isinstance(reply, hiredis.ReplyError):
                future.set_exception(reply)
            else:
                future.set_result(reply)

    def oldest_age_s(self) -> float:
        """How long the oldest command has been waiting; 0 when none is."""
        return self._loop.time() - self._sent_at[0] if self._sent_at else 0.0

    def abort(self) -> None:
        """Drop the connection: what waits fails, and no late reply can reach anybody."""
        if self._transport is not None:
            self._transport.abort()
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._queue.clear()
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(Unavailable("store_unavailable", "the store does not answer"))
        self._sent_at.clear()


class Pipeline:
    """A connection to the store that reconnects, with a deadline for every reply.

    A reply that does not come within `deadline_s` drops the connection: all its callers hear
    Unavailable, and what was executed late is settled by the plan's own time limit.
    """

    def __init__(self, address: Address, *, deadline_s: float) -> None:
        self._address = address
        self._deadline_s = deadline_s
        self._protocol: _Protocol | None = None
        self._connecting: asyncio.Task[_Protocol] | None = None
        self._watch: asyncio.Task[None] | None = None

    async def call(self, *args: Argument) -> Any:
        """Run one command. Raises Unavailable, or hiredis.ReplyError for the store's own errors."""
        protocol = self._protocol
        if protocol is None or protocol.is_lost:
            protocol = await self._connect()
        return await protocol.call(args)

    async def call_many(self, commands: list[tuple[Argument, ...]]) -> list[Any]:
        """Run commands in order over the one connection; their replies in the same order."""
        protocol = self._protocol
        if protocol is None or protocol.is_lost:
            protocol = await self._connect()
        futures = [protocol.call(command) for command in commands]
        replies = await asyncio.gather(*futures, return_exceptions=True)
        for reply in replies:
            if isinstance(reply, BaseException):
                raise reply
        return replies

    async def _connect(self) -> _Protocol:
        # Callers that arrive meanwhile share the attempt; a cancelled one does not end it.
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._open())
        return await asyncio.shield(self._connecting)

    async def _open(self) -> _Protocol:
        loop, to = asyncio.get_running_loop(), self._address
        protocol = _Protocol(loop)
        try:
            async with asyncio.timeout(self._deadline_s):
                if to.path:
                    await loop.create_unix_connection(lambda: protocol, to.path)
                else:
                    context = ssl.create_default_context() if to.tls else None
                    await loop.create_connection(lambda: protocol, to.host, to.port, ssl=context)
                if to.password:
                    user = (to.username,) if to.username else ()
                    await protocol.call(("AUTH", *user, to.password))
                if to.database:
                    await protocol.call(("SELECT", to.database))
        except (OSError, TimeoutError) as error:
            protocol.abort()
            raise Unavailable("store_unavailable", "the store cannot be reached") from error
        self._protocol = protocol
        if self._watch is None:
            self._watch = asyncio.create_task(self._keep_deadline())
        return protocol

    async def _keep_deadline(self) -> None:
        while True:
            await asyncio.sleep(self._deadline_s / 5)
            protocol = self._protocol
            if protocol is not None and protocol.oldest_age_s() > self._deadline_s:
                protocol.abort()

    async def close(self) -> None:
        """Close the connection; what still waits fails."""
        if self._watch is not None:
            self._watch.cancel()
        if self._protocol is not None and not self._protocol.is_lost:
            self._protocol.abort()
