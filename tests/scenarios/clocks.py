"""The clock of a running gateway's store, moved by the test."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime

import hiredis

from gateway.store.library import build
from tests.stores import CLOCK_KEY, SHIFTED_CLOCK, TEST_CLOCK


class Clock:
    """The clock of a gateway's store. It runs from, or stands at, a moment not in the past."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def _take(self, include: str, number: int) -> None:
        # At once: between the two the sweep would read one clock's number on the other.
        commands: list[tuple[str | int, ...]] = [
            ("MULTI",),
            ("SET", CLOCK_KEY, number),
            ("FUNCTION", "LOAD", "REPLACE", build(include).source),
            ("EXEC",),
        ]
        reader, writer = await asyncio.open_unix_connection(self._path)
        writer.write(b"".join(map(hiredis.pack_command, commands)))
        replies, parser = [], hiredis.Reader()
        while len(replies) < len(commands):
            parser.feed(await reader.read(65_536))
            while (reply := parser.gets()) is not False:
                replies.append(reply)
        writer.close()
        assert replies[-1][0] == b"OK", replies

    async def runs_from(self, moment: datetime) -> None:
        """It is that moment now, and time goes on."""
        await self._take(SHIFTED_CLOCK, round(1000 * (moment.timestamp() - time.time())))

    async def stands_at(self, ms: int) -> None:
        """It is that moment until the clock is set again."""
        await self._take(TEST_CLOCK, ms)
