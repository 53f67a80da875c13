"""Read what a shard is rebuilt from: saved hot state, stored outcomes, versions of orgs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gateway.catalog.catalog import Catalog
from gateway.core.commands import Version
from gateway.core.request_record import AdminNote, EndNote
from gateway.ledger import hot
from gateway.ledger.history import History
from gateway.ledger.hot import HotRow
from gateway.store import keys
from gateway.store.restore import Restorer
from gateway.wire import records
from gateway.wire.records import StreamRecord

T = TypeVar("T")

ROWS_AT_A_TIME = 5_000
ORGS_AT_A_TIME = 5_000


@dataclass(frozen=True)
class ResultRetention:
    """Time that results are stored for retries (ms): of calls about requests, and of funds."""

    requests_ms: int
    admin_ms: int


class Contents:
    """Contents of some shards, as the commands that write them, in parts."""

    def __init__(self, catalog: Catalog, ledger: History, kept: ResultRetention) -> None:
        self._catalog = catalog
        self._ledger = ledger
        self._kept = kept

    async def of(
        self, shards: Sequence[int], epochs: Mapping[int, int], now_ms: int
    ) -> AsyncIterator[Restorer]:
        """A restorer with a part's commands, again and again: take them before the next part."""
        restorer = Restorer()
        async for rows in _ahead(self._hot_rows(shards)):
            for row in rows:
                if not 0 < row.expires_ms <= now_ms:
                    _restore(restorer, row, epochs)
            yield restorer
        restorer.finish()
        yield restorer
        async for lines in _ahead(self._kept_lines(shards, now_ms)):
            for line in lines:
                kept = records.decode_kept(line.kept)
                if kept.expires_ms > now_ms:
                    org = records.org_of_kept(line.kept)
                    restorer.kept(line.shard, org, kept, line.out, line.terms + line.body)
                    _reverse(restorer, line, org, kept.expires_ms)
            yield restorer
        async for page in _ahead(self.orgs(shards)):
            for shard, version in page:
                restorer.version(shard, version)
            yield restorer

    async def orgs(self, shards: Iterable[int]) -> AsyncIterator[list[tuple[int, Version]]]:
        """The versions of all orgs in these shards, some at a time."""
        wanted, after = set(shards), ""
        while page := await self._catalog.org_versions(after, ORGS_AT_A_TIME):
            found = [(keys.shard_of(org), Version("org", org, number)) for org, number in page]
            yield [(shard, version) for shard, version in found if shard in wanted]
            after = page[-1][0]

    async def _hot_rows(self, shards: Sequence[int]) -> AsyncIterator[list[HotRow]]:
        found: list[HotRow] = []
        for shard in shards:
            after: hot.HotKey | None = None
            while rows := await self._ledger.hot(shard, after, ROWS_AT_A_TIME):
                found += rows
                if len(found) >= ROWS_AT_A_TIME:
                    yield found
                    found = []
                last = rows[-1]
                after = (last.shard, last.kind, last.org, last.name)
                if len(rows) < ROWS_AT_A_TIME:
                    break
        yield found

    async def _kept_lines(
        self, shards: Sequence[int], now_ms: int
    ) -> AsyncIterator[list[StreamRecord]]:
        since = (
            await self._ledger.row_at(now_ms - self._kept.requests_ms),
            await self._ledger.row_at(now_ms - self._kept.admin_ms),
        )
        row = min(since)
        while row >= 0:
            lines, row = await self._ledger.kept(shards, since, row, ROWS_AT_A_TIME)
            yield lines


async def _ahead(pages: AsyncIterator[T]) -> AsyncIterator[T]:
    """The same pages, each fetched while the one before is worked on."""
    fetching = asyncio.ensure_future(anext(pages, None))
    try:
        while (page := await fetching) is not None:
            fetching = asyncio.ensure_future(anext(pages, None))
            yield page
    finally:
        fetching.cancel()


def _reverse(restorer: Restorer, line: StreamRecord, org: str, until_ms: int) -> None:
    """Remove what a reversed decision left; its records precede this one."""
    if line.kind in ("finish", "adjust"):
        _, note = records.decode(line)
        if isinstance(note, EndNote | AdminNote) and note.undo is not None:
            restorer.reversal(line.shard, org, note.undo.decision, note.undo.kept, until_ms)


def _restore(restorer: Restorer, row: HotRow, epochs: Mapping[int, int]) -> None:
    if row.kind == hot.BALANCE:
        restorer.balance(row.shard, row.org, row.name, row.a, row.expires_ms)
    elif row.kind == hot.WINDOW:
        counts, index = (row.a, row.b), row.data.decode()
        restorer.window(row.shard, row.org, row.name, counts, row.expires_ms, index)
    elif row.kind == hot.BUCKET:
        restorer.bucket(row.shard, row.org, row.a, *hot.bucket_of(row))
    elif row.kind == hot.HOLD:
        standing = hot.open_hold_of(row)
        restorer.hold(row.shard, row.name, standing.hold, standing.note, standing.until_ms)
    else:
        given = hot.given_of(row)
        meta = given.currency.encode() + records.encode(given.grant)
        restorer.grant(row.shard, row.org, row.name, meta, given.grant.expires_ms or 0)
        # Higher than any that a gateway may remember of an earlier epoch.
        restorer.version(row.shard, Version("grants", row.org, epochs[row.shard] << 32))
