"""Random bits for ids."""

from __future__ import annotations

import secrets

from gateway.core import ids


class Chance:
    """Random bits for ids, fetched from the system for many ids at a time."""

    _EACH, _MANY = -(-ids.CHANCE_BITS // 8), 256

    def __init__(self) -> None:
        self._pool, self._at = b"", 0

    def bits(self) -> int:
        """CHANCE_BITS of them, never the same again."""
        if self._at >= len(self._pool):
            self._pool, self._at = secrets.token_bytes(self._EACH * self._MANY), 0
        self._at += self._EACH
        return int.from_bytes(self._pool[self._at - self._EACH : self._at], "big") >> 2
