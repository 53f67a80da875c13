"""Records that were acknowledged to a process in the last seconds, for a store that lost them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from gateway.wire.records import StreamRecord

RECENT_S = 6.0
"""Seconds: longer than a ledger's writer lags, and than a store takes to start again."""


class AcknowledgedRecords:
    """Acknowledged records of the last `seconds`, oldest first."""

    def __init__(
        self, seconds: float = RECENT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._records: deque[tuple[float, StreamRecord]] = deque()

    def add(self, record: StreamRecord) -> None:
        """Remember a record, and forget those that are too old."""
        now = self._clock()
        self._records.append((now, record))
        while self._records[0][0] < now - self._seconds:
            self._records.popleft()

    def after(self, cursors: dict[int, tuple[int, int]]) -> list[StreamRecord]:
        """Return the records after each shard's cursor, (epoch, seq)."""
        return [
            record
            for _, record in self._records
            if (record.epoch, record.seq) > cursors.get(record.shard, (0, -1))
        ]
