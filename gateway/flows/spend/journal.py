"""A local file of what could not reach the store: written and synced before it is answered.

Each process has a file of its own, locked while it lives. The lock of a file whose process died can
be taken: the process that takes it settles what is in the file.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

SUFFIX = ".journal"
_HEAD = struct.Struct("<II")
"""Length and CRC-32 of the entry that follows: a torn end was never acknowledged."""


class Journal:
    """Entries that this process appended, and those that dead processes left."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / f"{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        self._file = -1
        self._size = 0
        self._pending: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writing = asyncio.Lock()
        self.waiting: list[bytes] = []
        """Entries of this process that are not settled yet."""

    async def append(self, entry: bytes) -> None:
        """Write an entry and wait until it is on disk.

        Raises OSError: then nothing is written.
        """
        done = asyncio.get_running_loop().create_future()
        self._pending.append((entry, done))
        # Entries that come while a write is under way share the next one.
        async with self._writing:
            await self._flush()
        await done

    async def _flush(self) -> None:
        batch, self._pending = self._pending, []
        if not batch:
            return
        try:
            await asyncio.to_thread(self._write, b"".join(_framed(entry) for entry, _ in batch))
        except OSError as error:
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
            return
        for entry, done in batch:
            self.waiting.append(entry)
            if not done.done():
                done.set_result(None)

    def _write(self, data: bytes) -> None:
        if self._file < 0:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._file = _locked(self._path, os.O_RDWR | os.O_CREAT)
            _sync_directory(self._directory)
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._file, data[written:], self._size + written)
            os.fdatasync(self._file)
        except OSError:
            # A torn entry would hide those after it.
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)

    async def forget(self, count: int) -> None:
        """Forget the first `count` waiting entries, which are settled; an empty file stays."""
        async with self._writing:
            del self.waiting[:count]
            if not self.waiting and self._file >= 0:
                await asyncio.to_thread(os.ftruncate, self._file, 0)
                self._size = 0

    def orphans(self) -> Iterator[tuple[Path, list[bytes]]]:
        """Yield files of dead processes with their entries, each locked while it is looked at."""
        for path in self._directory.glob(f"*{SUFFIX}"):
            if path == self._path:
                continue
            try:
                file = _locked(path, os.O_RDWR)
            except OSError:
                continue
            try:
                yield path, _entries(path.read_bytes())
            finally:
                os.close(file)

    def knows(self, text: str) -> bool:
        """Return whether any process's entries that are not settled contain a text."""
        wanted = text.encode()
        for path in self._directory.glob(f"*{SUFFIX}"):
            # The process that settles it may remove it meanwhile.
            with suppress(FileNotFoundError):
                if wanted in path.read_bytes():
                    return True
        return False

    def close(self) -> None:
        """Close the file, and remove it when nothing waits in it."""
        if self._file >= 0:
            if not self.waiting:
                self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1


def _locked(path: Path, flags: int) -> int:
    file = os.open(path, flags, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise
    return file


def _sync_directory(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _framed(entry: bytes) -> bytes:
    return _HEAD.pack(len(entry), zlib.crc32(entry)) + entry


def _entries(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at + _HEAD.size <= len(data):
        length, crc = _HEAD.unpack_from(data, at)
        entry = data[at + _HEAD.size : at + _HEAD.size + length]
        if len(entry) < length or zlib.crc32(entry) != crc:
            break
        found.append(entry)
        at += _HEAD.size + length
    return found
