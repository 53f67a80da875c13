"""One connection, many callers: commands queued together share a write, and so an fsync."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, cast
from urllib.parse import ParseResult, parse_qs, unquote, urlparse

import hiredis

from gateway.errors import OperatorError, Unavailable
from gateway.settings import redacted

Argument = str | bytes | int

FLUSH_AT = 4
"""Queued commands after which they are written: early enough that store and gateway overlap.

One write for each command would cost a system call and, with an fsync for each commit, an fsync for
each decision. One write for all commands of a turn of the loop would leave the store idle while
Python prepares the last of them.
"""


NUMBERS = [b"%04d" % number for number in range(4096)]
"""Numbers that distinguish replies: more than ever wait at the same time, made once."""
PINGS = [b"*2\r\n$4\r\nPING\r\n$4\r\n%b\r\n" % number for number in NUMBERS]
NOTHING = object()
LOOK = 0.1
"""Time between two looks at a silent connection, as a part of the time it may be silent."""
READ_AGAIN_S = 0.001
"""Seconds for one more read of the socket: after the loop itself stalled, replies may be there."""


@dataclass(frozen=True)
class Address:
    """The address of a store, and how to sign in."""

    host: str = ""
    port: int = 6379
    path: str = ""
    username: str = ""
    password: str = ""
    database: int = 0
    tls: bool = False


def parse_url(url: str) -> Address:
    """Parse a redis://, rediss://, valkey(s):// or unix:// url to an address.

    Raises OperatorError.
    """
    parts = urlparse(url)
    shown = redacted(url)
    schemes = {"redis": False, "valkey": False, "rediss": True, "valkeys": True, "unix": False}
    if parts.scheme not in schemes:
        raise OperatorError(
            "bad_store_url", f"the store url must start with redis:// or unix://, not {shown!r}"
        )
    try:
        return _address(parts, tls=schemes[parts.scheme])
    except ValueError as error:
        detail = f"the store url {shown!r} cannot be read: {error}"
        raise OperatorError("bad_store_url", detail) from None


def _address(parts: ParseResult, *, tls: bool) -> Address:
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
        tls=tls,
    )


@dataclass
class Patience:
    """Seconds that a connection may be silent, and that urgent callers may wait.

    `on_silent` is called while the connection is silent for longer than `urgent_s`, with that time.
    """

    silent_s: float
    urgent_s: float
    longest_s: float
    on_silent: Callable[[float], None] = lambda urgent_s: None


class _Protocol(asyncio.Protocol):
    """Replies in the order of the commands; a lost connection fails what waits, and never mixes.

    After each command goes a PING with its number: a reply counts only with that number after it.
    So a reply that got lost, or came twice, on the way ends the connection and reaches no caller.

    A connection is *silent* while commands wait and no byte comes. That, and not how long a command
    takes, distinguishes a store that hangs from one that is busy.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: Patience) -> None:
        self._loop = loop
        self._patience = patience
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at = 0.0
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[asyncio.Future[Any], bytes, bool]] = deque()
        self._sent_at: deque[float] = deque()
        self._sent = 0
        self._reply: Any = NOTHING
        """A reply whose number has not come yet."""
        self._queue: list[bytes] = []
        self._is_scheduled = False
        self._transport: asyncio.Transport | None = None
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are Transports by what they do, not by their class.
        self._transport = cast(asyncio.Transport, transport)

    def call(self, args: tuple[Argument, ...], *, urgent: bool = False) -> asyncio.Future[Any]:
        """Queue one command; its reply, or an error, resolves the future."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.is_lost:
            # Lost after it was made and before its caller went on.
            future.set_exception(_no_answer())
            return future
        self._sent = at = (self._sent + 1) % len(NUMBERS)
        self._queue.append(hiredis.pack_command(args))  # type: ignore[arg-type]  # stub too narrow
        self._queue.append(PINGS[at])
        self._waiting.append((future, NUMBERS[at], urgent))
        self._sent_at.append(monotonic())
        if self._timer is None:
            self._timer = self._loop.call_later(self._patience.urgent_s, self._look)
        if len(self._queue) >= 2 * FLUSH_AT:
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
        self._heard_at = monotonic()
        self._reader.feed(data)
        try:
            while (heard := self._reader.gets()) is not False:
                if self._reply is NOTHING:
                    self._reply = heard
                elif not self._deliver(heard):
                    return self.abort()
        except hiredis.ProtocolError:
            self.abort()
        return None

    def _deliver(self, number: Any) -> bool:
        """Give the reply to its caller; False when it is not certain whose it is."""
        reply, self._reply = self._reply, NOTHING
        if not self._waiting:
            return False
        future, wanted, urgent = self._waiting.popleft()
        self._sent_at.popleft()
        is_refused = isinstance(reply, hiredis.ReplyError)
        # A store that refuses everything refuses the number, too.
        if number != wanted and not (is_refused and isinstance(number, hiredis.ReplyError)):
            self._waiting.appendleft((future, wanted, urgent))
            return False
        if future.done():
            return True
        if is_refused:
            future.set_exception(reply)
        else:
            future.set_result(reply)
        return True

    @property
    def silent_s(self) -> float:
        """Seconds that something has waited without a byte coming; 0 when nothing waits."""
        return monotonic() - max(self._heard_at, self._sent_at[0]) if self._sent_at else 0.0

    def _look(self) -> None:
        """Watch the connection while anything waits on it."""
        self._timer = None
        if not self._waiting or self.is_lost:
            return
        patience = self._patience
        if self.silent_s >= patience.urgent_s:
            self._timer = self._loop.call_later(READ_AGAIN_S, self._look_again)
            return
        self._let_go(monotonic() - patience.longest_s)
        wait_s = patience.urgent_s - self.silent_s
        self._timer = self._loop.call_later(max(READ_AGAIN_S, wait_s), self._look)

    def _look_again(self) -> None:
        """Give up on a connection that was silent for too long, unless a byte has come by now."""
        self._timer = None
        patience, silent_s = self._patience, self.silent_s
        if silent_s >= patience.silent_s:
            self.abort()
        elif silent_s >= patience.urgent_s:
            self._let_go(monotonic() - patience.urgent_s)
            patience.on_silent(patience.urgent_s)
        if self._waiting and not self.is_lost:
            self._timer = self._loop.call_later(LOOK * patience.urgent_s, self._look)

    def _let_go(self, latest: float) -> None:
        """Fail urgent callers whose command was sent by `latest`; a late reply reaches none."""
        for (future, _, urgent), sent_at in zip(self._waiting, self._sent_at, strict=True):
            if sent_at > latest:
                return
            if urgent and not future.done():
                waited_ms = 1000 * (monotonic() - sent_at)
                detail = f"the store did not answer within {waited_ms:.0f} ms"
                future.set_exception(Unavailable("store_unavailable", detail))

    def abort(self) -> None:
        """Drop the connection: what waits fails, and no late reply can reach a caller."""
        if self._transport is not None:
            self._transport.abort()
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._queue.clear()
        while self._waiting:
            future, _, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(_no_answer())
        self._sent_at.clear()


def _no_answer() -> Unavailable:
    return Unavailable("store_unavailable", "the store does not answer")


class Pipeline:
    """A connection to the store that reconnects; callers wait as long as replies are coming.

    A connection that is silent for `deadline_s` is dropped: all its callers get Unavailable, and
    what was executed late is settled by the plan's own time limit. Urgent callers get it after
    `urgent_s` of silence, or when a store that does answer has kept them waiting for `longest_s`;
    the connection then stays as it is.
    """

    def __init__(
        self,
        address: Address,
        *,
        deadline_s: float,
        urgent_s: float | None = None,
        longest_s: float | None = None,
    ) -> None:
        self._address = address
        urgent_s = min(deadline_s, urgent_s or deadline_s)
        longest_s = max(urgent_s, longest_s or deadline_s)
        self.patience = Patience(deadline_s, urgent_s, longest_s)
        self._protocol: _Protocol | None = None
        self._connecting: asyncio.Task[_Protocol] | None = None
        self.connections = 0
        """Connections so far: the same number before and after means the same connection."""

    async def call(self, *args: Argument) -> Any:
        """Run one command.

        Raises Unavailable, or hiredis.ReplyError for the store's own errors.
        """
        protocol = self._protocol
        if protocol is None or protocol.is_lost:
            protocol = await self._connect()
        return await protocol.call(args)

    async def call_urgent(self, *args: Argument) -> Any:
        """Run one command as `call` does, for a caller that cannot wait for long."""
        protocol = self._protocol
        if protocol is None or protocol.is_lost:
            try:
                async with asyncio.timeout(self.patience.urgent_s):
                    protocol = await self._connect()
            except TimeoutError:
                raise Unavailable("store_unavailable", "the store cannot be reached") from None
        return await protocol.call(args, urgent=True)

    async def call_many(self, commands: list[tuple[Argument, ...]]) -> list[Any]:
        """Run commands in order over the one connection; return replies in the same order."""
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
        protocol = _Protocol(loop, self.patience)
        try:
            async with asyncio.timeout(self.patience.silent_s):
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
        self.connections += 1
        return protocol

    async def drop(self) -> None:
        """Drop the connection; what still waits fails, the next call makes another."""
        if self._protocol is not None and not self._protocol.is_lost:
            self._protocol.abort()

    async def close(self) -> None:
        """Close the connection; what still waits fails."""
        await self.drop()
