"""Write the streams' records into the ledger: exactly once, in the order of each shard."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from gateway.errors import Bug, Unavailable
from gateway.ledger.batch import Batch, Position, make_batch
from gateway.ledger.hot import HotChanges
from gateway.ledger.port import History, LedgerWriter, Marks, SecondWriter, Streams, Written
from gateway.wire import records
from gateway.wire.records import Decoded, StreamRecord

BATCH = 4000
"""Most records read from each stream at a time; a batch is one transaction."""
HOT_EVERY_S = 10.0
"""Interval of saves of the hot state: it bounds how many records a rebuild has to replay."""
REPLAYED_AT_A_TIME = 5000


class Gap(Exception):
    """A shard's sequence has a gap: an acknowledged record is missing. The writer stops."""


def check_contiguous(shard: int, before: Position | None, record: StreamRecord) -> Position:
    """Return the record's position if it directly follows `before`. Raises Gap."""
    position = (record.epoch, record.seq)
    # `start_epochs` begins an epoch in the ledger first, with the cursor at -1: so a record of
    # another epoch than the cursor's is always a gap.
    if position != ((before[0], before[1] + 1) if before else (record.epoch, 0)):
        raise Gap(f"shard {shard}: after {before} came {position}; the ledger stops there")
    return position


def batch_of(lines: list[StreamRecord], written: Written) -> Batch:
    """Build the batch of these records. Raises Gap."""
    moves: dict[int, tuple[Position | None, Position]] = {}
    for record in lines:
        first = written.cursors.get(record.shard)
        before = moves[record.shard][1] if record.shard in moves else first
        after = check_contiguous(record.shard, before, record)
        moves[record.shard] = (first, after)
    return make_batch(written.head, lines, moves)


@dataclass(frozen=True)
class Retention:
    """Time the hot state keeps an expired hold for a late capture (ms)."""

    late_capture_ms: int = 3_600_000


class Writer:
    """Moves records from the store's streams into a ledger until it ends or finds a gap."""

    def __init__(
        self,
        store: Streams,
        ledger: LedgerWriter,
        history: History,
        on_event: Callable[[str], None],
        *,
        pause_s: float = 0.1,
        retention: Retention = Retention(),
        marks: Marks | None = None,
        is_mine: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self._marks = marks
        self._is_mine = is_mine
        self._store = store
        self._ledger = ledger
        self._history = history
        self._on_event = on_event
        self._pause_s = pause_s
        self._retention = retention
        self._at: Written | None = None
        self._hot: HotChanges | None = None
        self._hot_saved_at = 0.0
        self._is_ending = asyncio.Event()
        self._busy = asyncio.Lock()
        self.written = 0
        self.stopped_by: str | None = None

    async def run(self) -> None:
        """Write batches until `end` is called. A gap stops it for good; outages are retried."""
        while not self._is_ending.is_set():
            try:
                if self._is_mine is not None and not await self._is_mine():
                    # Another gateway's writer holds the lease: one is enough.
                    await self._pause(1.0)
                    continue
                # A pause fills batches: fewer commits, and so fewer fsyncs, for as many records.
                if await self.step() < BATCH // 2:
                    await self._pause(self._pause_s)
            except Gap as gap:
                self.stopped_by = str(gap)
                self._on_event(f"ledger writer stopped: {gap}")
                if self._marks is not None:
                    await self._say_stopped(self._marks, str(gap))
                return
            except SecondWriter as second:
                # The second writer waits: each commit of one makes a batch of the other fail.
                self._on_event(f"a second ledger writer is running: {second}")
                await self._pause(1.0)
            except (Unavailable, Bug, OSError) as error:
                self._on_event(f"ledger writer waits: {error}")
                await self._pause(0.5)

    async def _say_stopped(self, marks: Marks, reason: str) -> None:
        """Retry until the store has recorded the stop: unbooked money must not be spent."""
        while not self._is_ending.is_set():
            try:
                await marks.stop(reason)
                break
            except (Unavailable, Bug):
                await self._pause(0.5)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_ending.wait(), seconds)

    def end(self) -> None:
        """Let `run` return after the current batch, so that none is half written."""
        self._is_ending.set()

    async def step(self) -> int:
        """Write one batch; return how many records it had. Raises Gap and SecondWriter."""
        async with self._busy:
            try:
                return await self._step()
            except BaseException:
                # The cached progress may be wrong now: the next step reads it again.
                self._at = self._hot = None
                raise

    async def _step(self) -> int:
        if self._at is None:
            self._at = await self._ledger.written()
            # The previous writer may have died between its commit and its trim. A shard without
            # new decisions is trimmed by no later batch, so its backlog would remain for ever.
            await self._store.trim(self._at.last)
        lines = await self._store.records(self._at.cursors, BATCH)
        if lines:
            await self._write(self._at, lines)
        await self._save_hot_in_time()
        return len(lines)

    async def _write(self, at: Written, lines: list[StreamRecord]) -> None:
        try:
            # In a thread: the sweep shares the event loop and must not wait for a batch.
            batch = await asyncio.to_thread(batch_of, lines, at)
        except Gap as gap:
            # Not a gap if another writer wrote and trimmed these records: the cursors moved.
            if await self._ledger.written() != at:
                raise SecondWriter(f"it trimmed records this one did not write ({gap})") from gap
            raise
        await self._ledger.write(batch)
        after = {shard: after for shard, (_, after) in batch.moves.items()}
        self._at = Written(batch.head, at.cursors | after, at.last | after, at.hot_row)
        self.written += len(lines)
        # After the commit: a record is marked as booked, and trimmed, only once it is durable.
        if self._marks is not None:
            await self._marks.book(batch.head.n, batch.head.hash)
        await self._store.trim(after)
        await self._change_hot(at, [entry.source for entry in batch.entries])

    async def append(self, lines: list[StreamRecord]) -> None:
        """Write records from elsewhere than the streams, after each shard's last one.

        Raises Gap and SecondWriter.
        """
        async with self._busy:
            self._at = await self._ledger.written()
            await self._write(self._at, lines)

    async def _change_hot(self, before: Written, fresh: Sequence[Decoded]) -> None:
        if self._hot is None or self._hot.row != before.head.rows:
            await self._catch_up(before)
        await self._apply(fresh)

    async def _catch_up(self, upto: Written) -> None:
        """Replay the records that the saved hot state lacks. Raises Bug if some are missing."""
        at = await self._ledger.written()
        self._hot = HotChanges(at.hot_row, self._retention.late_capture_ms)
        while (missing := upto.head.rows - self._hot.row) > 0:
            limit = min(missing, REPLAYED_AT_A_TIME)
            lines = await self._history.lines(self._hot.row, limit)
            await self._apply([records.read(line) for line in lines])
            if not lines:
                raise Bug(f"the ledger's records from row {self._hot.row} on are missing")

    async def _apply(self, lines: Sequence[Decoded]) -> None:
        assert self._hot is not None
        unknown = self._hot.unknown(lines)
        self._hot.learn(unknown, await self._ledger.hot(unknown))
        await asyncio.to_thread(self._hot.apply, lines)

    async def _save_hot_in_time(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._hot is not None and now - self._hot_saved_at > HOT_EVERY_S:
            await self._save_hot(self._hot)
            self._hot_saved_at = now

    async def _save_hot(self, hot: HotChanges) -> None:
        if hot.row > hot.from_row:
            await self._ledger.save_hot(await asyncio.to_thread(hot.save))

    async def refresh(self) -> None:
        """Forget the cached progress: another process changed the ledger."""
        async with self._busy:
            self._at = None

    async def save_hot(self) -> Written:
        """Save the hot state up to the ledger's last record; return the ledger's progress."""
        async with self._busy:
            self._at = await self._ledger.written()
            if self._at.hot_row < self._at.head.rows:
                if self._hot is None or self._hot.row != self._at.head.rows:
                    await self._catch_up(self._at)
                assert self._hot is not None
                await self._save_hot(self._hot)
            self._at = await self._ledger.written()
            return self._at

    async def drain(self) -> None:
        """Write all remaining records and the hot state, unless another writer does."""
        for is_last in (False, True):
            try:
                while self.stopped_by is None and await self.step():
                    pass
                await self.save_hot()
                return
            except SecondWriter as second:
                # The other writer may be gone and only the cached progress outdated: retry once.
                if is_last:
                    self._on_event(f"ledger writer leaves the rest: {second}")
            except (Gap, Unavailable) as reason:
                self._on_event(f"ledger writer leaves the rest: {reason}")
                return
