"""Open shards: compare store and ledger, rebuild what differs, begin a new epoch.

A store that started anew, was flushed or is another server has all shards closed. The process that
holds their locks lets the ledger read what the streams still have and what living gateways remember
of the last seconds. Where store and ledger differ after that, the shards are rebuilt.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from msgspec.structs import replace

from gateway.catalog.catalog import Catalog
from gateway.catalog.lists import Lists
from gateway.errors import Bug, Unavailable
from gateway.flows.operations.acknowledged_tail import after_ledger, holds_named, sound
from gateway.flows.operations.rebuild_source import Contents, ResultRetention
from gateway.flows.risk.list_sync import follow
from gateway.ledger.history import History
from gateway.ledger.port import LedgerWriter, SecondWriter, Written
from gateway.ledger.writer import Writer
from gateway.store import keys
from gateway.store.port import ShardState
from gateway.store.redis import RedisStore
from gateway.store.restore import Restorer
from gateway.store.shards import LOCK_MS, Shards
from gateway.wire.records import LOST

T = TypeVar("T")

LOOK_EVERY_S = 0.2
LOOK_BEHIND_EVERY_S = 2.0
OFFER_WAIT_S = 1.0
"""Time in s for living gateways to notice a closed shard and to offer records they remember."""
QUIET_MS = 30_000
"""Age in ms of the last record from which no gateway can have records to offer."""
ATTEMPTS = 100
ALL_SHARDS = tuple(range(keys.SHARDS))


@dataclass
class Report:
    """Counts of shards opened and rebuilt, and of records offered, lost and restored."""

    opened: int = 0
    rebuilt: int = 0
    handed_in: int = 0
    lost: int = 0
    restored: int = 0


class Recovery:
    """Opens shards soon after they were closed. Locks in the store elect one process at a time."""

    def __init__(
        self,
        shards: Shards,
        store: RedisStore,
        catalog: Catalog,
        lists: Lists,
        ledger: History,
        books: tuple[LedgerWriter, Writer],
        kept: ResultRetention,
        on_event: Callable[[str], None],
    ) -> None:
        self._shards = shards
        self._store = store
        self._ledger = ledger
        self._ledger_writer, self._writer = books
        self._contents = Contents(catalog, ledger, kept)
        self._lists = lists
        self._on_event = on_event
        self._holder = secrets.token_hex(8)
        self._is_first = True
        self._look_behind_at_s = 0.0
        self.on_progress: Callable[[str, int], None] = lambda what, count: None

    async def watch(self) -> None:
        """Look for closed shards and open them, until cancelled."""
        while True:
            try:
                await self.open_closed()
            except (Unavailable, Bug) as error:
                self._on_event(f"shards wait to be opened: {error}")
                await asyncio.sleep(0.5)
            await asyncio.sleep(LOOK_EVERY_S)

    async def open_closed(self) -> Report:
        """Open every closed shard whose lock is free."""
        standing = await self._shards.states(ALL_SHARDS)
        await self._reconnect_if_superseded(standing)
        closed = [shard for shard, at in standing.items() if not at.is_open]
        report = await self.recover(closed) if closed else Report()
        self._is_first = False
        return report

    async def _reconnect_if_superseded(self, standing: dict[int, ShardState]) -> None:
        """Reconnect where the store is still in an epoch that the ledger has passed.

        After a failover, a connection to the old primary may survive; the ledger will accept
        nothing of it.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._look_behind_at_s:
            return
        self._look_behind_at_s = loop.time() + LOOK_BEHIND_EVERY_S
        cursors = (await self._ledger_writer.written()).cursors
        behind = sum(
            at.is_open and at.epoch < cursors.get(s, (0, 0))[0] for s, at in standing.items()
        )
        if behind:
            self._on_event(
                f"{behind} shards of this store are in an older epoch than the ledger:"
                " another store took over; connecting anew"
            )
            await self._shards.reconnect()

    async def rebuild(self) -> Report:
        """Close all shards and build every one of them from the ledger, whatever they hold."""
        async with self._locked(list(ALL_SHARDS)) as mine:
            if len(mine) < len(ALL_SHARDS):
                raise Unavailable("shards_locked", "another process is opening shards; try again")
            await self._shards.close(mine)
            report = Report()
            await self._recover(mine, report, force=True)
        return report

    async def recover(self, closed: list[int]) -> Report:
        """Open these closed shards, those whose locks are free."""
        started = asyncio.get_running_loop().time()
        async with self._locked(closed) as mine:
            report = Report()
            if mine:
                await self._recover(mine, report)
        if report.rebuilt or report.handed_in:
            seconds = asyncio.get_running_loop().time() - started
            self._on_event(
                f"opened {report.opened} shards in {seconds:.1f} s: {report.rebuilt} rebuilt with"
                f" {report.restored} entries, {report.handed_in} records handed in,"
                f" {report.lost} lost"
            )
        return report

    @asynccontextmanager
    async def _locked(self, closed: list[int]) -> AsyncIterator[list[int]]:
        mine = await self._shards.lock(closed, self._holder)
        keeping = asyncio.create_task(self._keep_locks(mine))
        try:
            yield mine
        finally:
            keeping.cancel()
            await self._shards.unlock(mine, self._holder)

    async def _keep_locks(self, mine: list[int]) -> None:
        while mine:
            await asyncio.sleep(LOCK_MS / 4000)
            await self._shards.lock(mine, self._holder)

    async def _recover(self, mine: list[int], report: Report, *, force: bool = False) -> None:
        await _alone(self._drain)
        if await self._may_be_offered():
            await asyncio.sleep(OFFER_WAIT_S)
        handed_in = await _alone(lambda: self._take_in(mine, report))
        standing, before = await self._shards.states(mine), await self._ledger_writer.written()
        epochs = {
            shard: max(standing[shard].epoch, before.cursors.get(shard, (0, 0))[0]) + 1
            for shard in mine
        }
        # The ledger first: it takes nothing more of the epoch before, from nobody, so that what is
        # compared and rebuilt now is all there will be of it.
        await self._ledger_writer.start_epochs(epochs)
        await self._writer.refresh()
        written = replace(await _alone(self._writer.save_hot), cursors=before.cursors)
        broken = [
            shard
            for shard in mine
            if force or shard in handed_in or not _is_intact(standing[shard], written, shard)
        ]
        if broken:
            await self._rebuild(broken, epochs, report)
        await self._fence_orgs([shard for shard in mine if shard not in set(broken)])
        # Before anybody is decided who stands on them. One that came back as an older copy may have
        # what was removed since.
        if broken:
            await self._store.forget_lists()
        await follow(self._lists, self._store)
        await self._shards.open(epochs)
        await self._shards.drop_offers(mine)
        report.opened = len(mine)

    async def _drain(self) -> None:
        while await self._writer.step():
            pass

    async def _may_be_offered(self) -> bool:
        now_ms, latest_ms = await self._store.ping(), await self._ledger.latest_ms()
        return not self._is_first or now_ms - latest_ms < QUIET_MS

    async def _take_in(self, mine: list[int], report: Report) -> set[int]:
        """Write offered records to the ledger. Returns the shards they belong to."""
        written = await self._ledger_writer.written()
        lines = after_ledger(await self._shards.offers(mine), written)
        if any(line.kind == LOST for line in lines):
            await self._writer.save_hot()
            lines = sound(lines, await self._ledger_writer.hot(holds_named(lines)))
        if lines:
            report.handed_in = sum(line.kind != LOST for line in lines)
            report.lost = len(lines) - report.handed_in
            await self._writer.append(lines)
        return {line.shard for line in lines}

    async def _rebuild(self, broken: list[int], epochs: dict[int, int], report: Report) -> None:
        await self._shards.wipe(broken)
        now_ms = await self._store.ping()
        # The store works on a part while the next is read from the ledger.
        restoring: asyncio.Task[None] | None = None
        try:
            async for restorer in self._contents.of(broken, epochs, now_ms):
                commands = restorer.take()
                if restoring is not None:
                    await restoring
                restoring = asyncio.create_task(self._shards.restore(self._holder, commands))
                report.restored += sum(map(len, commands.values()))
                self.on_progress("restored", report.restored)
        finally:
            if restoring is not None:
                await restoring
        report.rebuilt = len(broken)

    async def _fence_orgs(self, intact: list[int]) -> None:
        """Without its fence an org would be taken for a free user."""
        async for page in self._contents.orgs(intact):
            restorer = Restorer()
            for (shard, version), number in zip(
                page, await self._shards.versions(page), strict=True
            ):
                if number < version.expected:
                    restorer.version(shard, version)
            await self._shards.restore(self._holder, restorer.take())


async def _alone(work: Callable[[], Awaitable[T]]) -> T:
    """Do something to the ledger; when another writer was at it, too, look anew and try again."""
    for _ in range(ATTEMPTS):
        try:
            return await work()
        except SecondWriter:
            await asyncio.sleep(0.05)
    return await work()


def _is_intact(at: ShardState, written: Written, shard: int) -> bool:
    """Whether a shard's last record and epoch are those of the ledger."""
    return not difference(at, written, shard)


def difference(at: ShardState, written: Written, shard: int) -> str:
    """Describe how a shard differs from the ledger after all records were written; "" if not."""
    cursor, last = written.cursors.get(shard), written.last.get(shard, (0, 0))
    if cursor is not None and at.epoch == 0:
        return "the store has lost the shard"
    if cursor is not None and at.epoch != cursor[0]:
        return f"the store is in epoch {at.epoch}, the ledger in {cursor[0]}"
    if at.last < last:
        return f"the store ends at {at.last}, the ledger has {last}: the store is an older copy"
    if at.last > last:
        return f"the ledger ends at {last}, the store has {at.last}, which is not written yet"
    return ""
