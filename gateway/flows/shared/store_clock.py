"""Estimate the store's clock: the local one, corrected by the last reply."""

from __future__ import annotations

import time


class StoreClock:
    """Unix ms of the store. Wrong only until the first answer that says so."""

    def __init__(self) -> None:
        self._offset_ms = 0

    def now_ms(self) -> int:
        """Estimated time of the store's clock (Unix ms)."""
        return time.time_ns() // 1_000_000 + self._offset_ms

    def learn(self, store_now_ms: int) -> None:
        """Correct the offset by an answer that just came."""
        self._offset_ms = store_now_ms - time.time_ns() // 1_000_000
