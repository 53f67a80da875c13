"""The writer: stream → double entry, exactly once, in the order of each shard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.errors import Bug, Unavailable
from gateway.ledger.port import LedgerWriter, Position, SecondWriter, Streams
from gateway.ledger.rows import Rows
from gateway.wire.records import StreamRecord

BATCH = 4000
"""Records read from each stream at a time; a batch is one transaction."""


class Gap(Exception):
    """A shard's sequence has a hole: something acknowledged is missing. The writer stops."""


def check_contiguous(shard: int, before: Position | None, record: StreamRecord) -> Position:
    """The record's position, when it directly follows `before`. Raises Gap."""
    position = (record.epoch, record.seq)
    if before is None:
        expected = record.seq == 0
    elif record.epoch == before[0]:
        expected = record.seq == before[1] + 1
    else:
        expected = record.epoch == before[0] + 1 and record.seq == 0
    if not expected:
        raise Gap(f"shard {shard}: after {before} came {position}; the ledger stops there")
    return position


async def _rows_of(
    batch: list[StreamRecord], cursors: dict[int, Position]
) -> tuple[Rows, dict[int, Position]]:
    """The rows of a batch, and how far it goes in each shard. Raises Gap."""
    rows, after = Rows(), dict[int, Position]()
    for i, record in enumerate(batch):
        before = after.get(record.shard) or cursors.get(record.shard)
        after[record.shard] = check_contiguous(record.shard, before, record)
        rows.add(record)
        if i % 500 == 499:
            # The sweep shares this loop and must not wait for a long batch.
            await asyncio.sleep(0)
    return rows, after


class Writer:
    """Moves records from the store's streams into a ledger until it is stopped."""

    def __init__(
        self,
        store: Streams,
        ledger: LedgerWriter,
        pause_s: float,
        on_event: Callable[[str], None],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._pause_s = pause_s
        self._on_event = on_event
        self._cursors: dict[int, Position] | None = None
        self.written = 0
        self.stopped_by: str | None = None

    async def run(self) -> None:
        """Write until cancelled. A gap stops it for good; what does not answer is tried again."""
        while True:
            try:
                # A pause fills batches: fewer commits, and so fewer fsyncs, for the same records.
                if await self.step() < BATCH // 2:
                    await asyncio.sleep(self._pause_s)
            except Gap as gap:
                self.stopped_by = str(gap)
                self._on_event(f"ledger writer stopped: {gap}")
                return
            except SecondWriter as second:
                # Whoever comes second waits: the two would only undo each other's batches.
                self._on_event(f"a second ledger writer is running: {second}")
                self._cursors = None
                await asyncio.sleep(1)
            except (Unavailable, Bug, OSError) as error:
                self._on_event(f"ledger writer waits: {error}")
                self._cursors = None
                await asyncio.sleep(0.5)

    async def step(self) -> int:
        """Write one batch; how many records it had."""
        if self._cursors is None:
            self._cursors = await self._ledger.cursors()
        batch = await self._store.records(self._cursors, BATCH)
        if not batch:
            return 0
        try:
            rows, after = await _rows_of(batch, self._cursors)
        except Gap as gap:
            # Another writer trims what it wrote: then its cursor is ahead of the one we know.
            if await self._ledger.cursors() != self._cursors:
                raise SecondWriter(f"it trimmed records this one did not write ({gap})") from gap
            raise
        await self._ledger.write(rows, self._cursors, after)
        self._cursors |= after
        self.written += len(batch)
        # Behind the commit: what is trimmed is in the ledger.
        await self._store.trim(after)
        return len(batch)

    async def drain(self) -> None:
        """Write everything there is, unless another writer does."""
        try:
            while self.stopped_by is None and await self.step():
                pass
        except (Gap, SecondWriter) as reason:
            self._on_event(f"ledger writer leaves the rest: {reason}")
