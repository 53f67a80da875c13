"""Fill newly declared velocity counters from the log.

A record says after which change of rules it was counted, so no request is counted twice. An attempt
that breaks off leaves no trace: each attempt counts under a generation of its own.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress

from msgspec.structs import replace

from gateway.catalog.declared_counters import Declared, declared
from gateway.catalog.policy_log import EVERYBODY, WARM, WARMING, Change, RuleSets
from gateway.core.commands import Moved, Outcome
from gateway.core.request_record import EventRecord, RequestRecord
from gateway.core.velocity import (
    DISTINCT,
    FIRST,
    IF_REFUSED,
    MOST_DISTINCT,
    Past,
    VelocityCounter,
    latest,
)
from gateway.errors import SpendgateError
from gateway.flows.risk.policies import TAKEN_OVER_S
from gateway.flows.risk.velocity import VelocityCounters
from gateway.ledger.history import History
from gateway.ledger.reader import Ledger
from gateway.store import keys
from gateway.store.port import Store
from gateway.wire import records
from gateway.wire.records import StreamRecord

LOOK_S = 0.1
CATCH_UP_S = 30.0
AT_A_TIME = 2_000
OURSELVES = "spendgate"
LONGEST_PAUSE_S = 60.0
LEASE, LEASE_MS = "warming", 10_000


class Warmer:
    """Adds to what is newly counted what happened before. One works at a time, others wait."""

    def __init__(
        self,
        history: History,
        ledger: Ledger,
        rulesets: RuleSets,
        store: Store,
        on_event: Callable[[str], None],
    ) -> None:
        self._history = history
        self._ledger = ledger
        self._rulesets = rulesets
        self._store = store
        self._on_event = on_event
        self._holder = secrets.token_hex(8)
        self._done = 0
        """Number of the last policy change whose counters are all backfilled."""

    async def run(self) -> None:
        """Backfill for ever."""
        pause_s = LOOK_S
        while True:
            try:
                await self.step()
                pause_s = LOOK_S
            except (SpendgateError, OSError) as error:
                self._on_event(f"what new rules read is not warm yet: {error}")
                # Each attempt leaves a change and keys behind.
                pause_s = min(LONGEST_PAUSE_S, 2 * max(pause_s, 1))
            await asyncio.sleep(pause_s)

    async def step(self) -> None:
        """Backfill the counters that are pending, if any. Raises Unavailable."""
        version = await self._rulesets.version()
        if version == self._done:
            return
        known = declared(await self._rulesets.changes())
        cold = tuple(sorted(name for name, of in known.items() if not of.is_warm))
        if not cold:
            self._done = version
            return
        if not await self._store.lease(LEASE, self._holder, LEASE_MS):
            return
        keeping = asyncio.create_task(self._keep_lease())
        try:
            await self._backfill(version, cold)
        finally:
            keeping.cancel()

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(LEASE_MS / 4000)
            with suppress(SpendgateError):
                await self._store.lease(LEASE, self._holder, LEASE_MS)

    async def _backfill(self, version: int, cold: tuple[str, ...]) -> None:
        # First what may fail: an attempt that is broken off must begin to count anew.
        await self._caught_up()
        began = Change(0, "", WARMING, EVERYBODY, OURSELVES, "", await self._store.ping(), cold)
        if not await self._rulesets.change(version, [began]):
            return
        since = version + 1
        await asyncio.sleep(TAKEN_OVER_S)
        past = await self._past(
            VelocityCounters(since, dict.fromkeys(cold, Declared(since, True)), b"")
        )
        await self._store.backfill(past)
        await self._say(since, cold)

    async def _say(self, since: int, names: tuple[str, ...]) -> None:
        while True:
            changes = await self._rulesets.changes()
            known = declared(changes)
            # Some may have gone meanwhile, or have begun anew.
            warm = tuple(n for n in names if n in known and known[n].since == since)
            told = Change(0, "", WARM, EVERYBODY, OURSELVES, "", await self._store.ping(), warm)
            if not warm or await self._rulesets.change(changes[-1].n, [told]):
                return

    async def _past(self, tallying: VelocityCounters) -> list[Past]:
        await self._caught_up()
        now_ms = await self._store.ping()
        from_ms = now_ms - 2 * tallying.longest_ms
        rows, found = (await self._history.head()).rows, PastOf(tallying, now_ms)
        kinds = tallying.kinds
        for at in range(await self._history.row_at(from_ms), rows, AT_A_TIME):
            lines = await self._history.numbered(at, AT_A_TIME, kinds)
            await asyncio.to_thread(found.add, [line for _, line in lines])
        return found.all()

    async def _caught_up(self) -> None:
        shards = range(keys.SHARDS)
        lasts = await asyncio.gather(*(self._store.last(shard) for shard in shards))
        for shard, last in zip(shards, lasts, strict=True):
            if last[1] >= 0:
                await self._ledger.reach(shard, last, CATCH_UP_S)


class PastOf:
    """Aggregates of past records for counters declared after them, limited to buckets in range."""

    def __init__(self, tallying: VelocityCounters, now_ms: int) -> None:
        self._tallying = tallying
        self._now_ms = now_ms
        self._found: dict[tuple[str, str, int], Past] = {}

    def add(self, lines: Iterable[StreamRecord]) -> None:
        """Take in records, in any order."""
        for line in lines:
            out, of = records.decode(line)
            if isinstance(of, RequestRecord):
                for tally in self._tallying.uncounted(of, out.now_ms):
                    is_refused = isinstance(out, Outcome) and not out.allowed
                    if tally.adds != IF_REFUSED or is_refused:
                        self._note(tally, of.amount, out.now_ms)
            elif isinstance(of, EventRecord) and isinstance(out, Moved):
                for tally in self._tallying.uncounted_of_event(out.org, of):
                    self._note(tally, of.amount, min(of.at_ms, out.now_ms))

    def _note(self, tally: VelocityCounter, amount: int, at_ms: int) -> None:
        width_ms = tally.width_ms
        if tally.kind == FIRST:
            # In the order of the log: of one org's own entities that is the order of time.
            buckets = self._of(tally).buckets
            first_ms, last_ms = buckets.get(0, (at_ms, at_ms))
            if at_ms - last_ms >= width_ms:
                first_ms = at_ms
            buckets[0] = first_ms, max(last_ms, at_ms)
        elif tally.kind != DISTINCT:
            bucket = at_ms // width_ms
            if bucket < self._now_ms // width_ms - 1:
                return
            buckets = self._of(tally).buckets
            n, micros = buckets.get(bucket, (0, 0))
            buckets[bucket] = (n + 1, micros + amount)
        elif tally.adds and at_ms > self._now_ms - width_ms:
            members = self._of(tally).members
            members[tally.adds] = max(at_ms, members.get(tally.adds, 0))
            if len(members) >= 2 * MOST_DISTINCT:
                # No more are told apart: those that were not met for longest can go.
                kept = latest(members)
                members.clear()
                members.update(kept)

    def _of(self, tally: VelocityCounter) -> Past:
        place = (tally.org, tally.name, tally.width_ms)
        if place not in self._found:
            self._found[place] = Past(tally, {}, {})
        return self._found[place]

    def all(self) -> list[Past]:
        """All aggregates to add."""
        return [replace(p, members=latest(p.members)) for p in self._found.values()]
