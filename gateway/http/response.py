"""A JSON answer as bytes, written in one go: what every decision is answered with.

aiohttp's own response builds a mapping of headers, completes and serialises it for each answer,
which costs more than encoding the answer does. Ours has the same few headers each time.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus
from typing import cast

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from gateway.http.peer import id_of


class _Date:
    """The Date header's value, made once a second."""

    def __init__(self) -> None:
        self._second, self._text = 0, b""

    def now(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, formatdate(second, usegmt=True).encode()
        return self._text


_date = _Date()


def _head(status: HTTPStatus, more: bytes) -> bytes:
    line = f"{status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
    return line.encode() + b"Server: spendgate\r\n" + more


_HEADS = {
    (status.value, is_replay): _head(status, b"Idempotent-Replayed: true\r\n" if is_replay else b"")
    for status in (HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT)
    for is_replay in (False, True)
}


class JsonResponse(web.Response):
    """An answer of status 200 or 202, or 204 without a body."""

    def __init__(
        self, body: bytes, status: int = 200, *, is_replay: bool = False, etag: str = ""
    ) -> None:
        # Not the base's: what it makes is not used here.
        self._status = status
        self._body = body
        self._is_replay = is_replay
        self._etag = etag

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the whole answer."""
        body = cast(bytes, self._body)
        if self._keep_alive is None:
            self._keep_alive = request.keep_alive
        is_1_1 = request.version >= HttpVersion11
        parts = [b"HTTP/1.1 " if is_1_1 else b"HTTP/1.0 ", _HEADS[self._status, self._is_replay]]
        if is_1_1 and not self._keep_alive:
            parts.append(b"Connection: close\r\n")
        elif self._keep_alive and not is_1_1:
            parts.append(b"Connection: keep-alive\r\n")
        if self._etag:
            parts.append(f"ETag: {self._etag}\r\n".encode())
        if self._status != HTTPStatus.NO_CONTENT:
            parts.append(b"Content-Length: %d\r\n" % len(body))
        name = id_of(request).encode()
        parts += (b"X-Request-Id: ", name, b"\r\nDate: ", _date.now(), b"\r\n\r\n", body)
        await request.writer.write(b"".join(parts))
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""
