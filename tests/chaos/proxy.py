"""A proxy in front of a store that delays, drops, duplicates and cuts what the store replies."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Literal

Fault = Literal["delay", "drop", "duplicate", "cut"]
MOST = 1_000_000
SIZES = (64, 512, 65_536)
FAULTS: tuple[Fault, ...] = ("delay", "drop", "duplicate", "cut")


class Proxy:
    """Listens on a unix socket of its own. Faults befall chunks of replies, by chance."""

    def __init__(self, socket: Path, store: Path, seed: int = 1) -> None:
        self._socket, self.store = socket, store
        self._chance = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.kinds: tuple[Fault, ...] = ()
        """The faults that may happen now."""
        self.probability = 0.02
        self.delay_s = 0.0
        """How long every reply takes, beyond faults."""
        self.done: dict[str, int] = dict.fromkeys(FAULTS, 0)

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_unix_server(self._serve, str(self._socket))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        """End every connection, in the middle of whatever it says."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        store = self.store
        try:
            from_store, to_store = await asyncio.open_unix_connection(str(store))
        except OSError:
            writer.transport.abort()
            return
        both = {writer, to_store}
        self._writers |= both
        if store != self.store:
            # It moved while this connection was made.
            self.cut()
        try:
            await asyncio.gather(self._asked(reader, to_store), self._replied(from_store, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers -= both
            for one in both:
                one.transport.abort()

    async def _asked(self, reader: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            to.write(data)
            await to.drain()
        raise ConnectionResetError

    async def _replied(self, reader: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await reader.read(self._chance.choice(SIZES) if self.kinds else MOST):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            is_struck = self.kinds and self._chance.random() < self.probability
            fault = self._chance.choice(self.kinds) if is_struck else None
            if fault is not None:
                self.done[fault] += 1
            if fault == "delay":
                await asyncio.sleep(self._chance.uniform(0.01, 0.3))
            elif fault == "drop":
                continue
            elif fault == "duplicate":
                to.write(data)
            elif fault == "cut":
                to.write(data[: len(data) // 2])
                raise ConnectionResetError
            to.write(data)
            await to.drain()
        raise ConnectionResetError
