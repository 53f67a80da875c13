"""The memory store: core's reference machine as a store, for tests and to read."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence

from gateway.core import ids, machine, machine_steps, names, settle
from gateway.core.commands import (
    AdjustOrder,
    EventOrder,
    Finish,
    GrantOrder,
    Idempotency,
    Plan,
    Reply,
    Version,
    VoidOrder,
)
from gateway.core.counters import Counter
from gateway.core.entity_counters import signal_name
from gateway.core.expiring_cells import Cells
from gateway.core.funding import grant_name
from gateway.core.holds import Hold
from gateway.core.state import Shard
from gateway.core.velocity import MARK, Entry, Past, add_past, entry_name, follow
from gateway.store import keys
from gateway.store.port import Result, Snapshot
from gateway.wire import records
from gateway.wire.records import StreamRecord


class MemoryStore:
    """A store that forgets everything when the process ends; `clock` gives Unix ms."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.shared = Cells()
        self.shards: dict[int, Shard] = defaultdict(lambda: Shard(self.shared))
        self._claims: dict[str, str] = {}

    def _of(self, org: str) -> Shard:
        return self.shards[keys.shard_of(org)]

    async def authorize(self, plan: Plan) -> Reply:
        return copy.deepcopy(machine.authorize(self._of(plan.needs.org), plan, self._clock()))

    async def finish(self, order: Finish) -> Reply:
        return copy.deepcopy(settle.finish(self._of(order.org), order, self._clock()))

    async def grant(self, order: GrantOrder) -> Reply:
        return machine.grant(self._of(order.org), order, self._clock())

    async def void(self, order: VoidOrder) -> Reply:
        return machine.void(self._of(order.org), order, self._clock())

    async def adjust(self, order: AdjustOrder) -> Reply:
        return machine.adjust(self._of(order.org), order, self._clock())

    async def event(self, order: EventOrder) -> Reply:
        return machine.event(self._of(order.org), order, self._clock())

    async def kept(self, org: str, idempotency: Idempotency, result: type[Result]) -> Reply | None:
        return copy.deepcopy(machine_steps.precheck(self._of(org), org, idempotency, self._clock()))

    async def claim(self, decision_id: str, purpose: str) -> str:
        return self._claims.setdefault(decision_id, purpose)

    async def lease(self, name: str, holder: str, for_ms: int) -> bool:
        now_ms, key = self._clock(), names.join("lease", name)
        if self.shared.get("", key, now_ms) in (None, holder):
            self.shared.replace("", key, holder, now_ms + for_ms)
            return True
        return False

    async def forget(self, org: str, idempotency: Idempotency) -> None:
        self._of(org).cells.drop(org, idempotency.name)

    async def expire(self, shards: range, limit: int) -> int:
        return sum(settle.sweep(self.shards[s], self._clock(), limit) for s in shards)

    async def hold(self, hold_id: str) -> tuple[Hold, bytes] | None:
        shard = ids.shard_in(hold_id)
        if shard is None:
            return None
        return copy.deepcopy(self.shards[shard].hold(hold_id, self._clock()))

    async def grants(self, org: str) -> tuple[int, list[tuple[bytes, int]]]:
        shard, now_ms = self._of(org), self._clock()
        found = [
            (meta, shard.cells.get(org, grant_name(grant_id), now_ms) or 0)
            for grant_id, (_, meta) in shard.grants.get(org, {}).items()
        ]
        return shard.versions.get(("grants", org), 0), found

    async def fence(self, version: Version, shards: tuple[int, ...]) -> int:
        key = (version.kind, version.id)
        for shard in shards:
            versions = self.shards[shard].versions
            versions[key] = max(versions.get(key, 0), version.expected)
        return max(self.shards[shard].versions[key] for shard in shards)

    async def backfill(self, past: Sequence[Past]) -> None:
        for one in past:
            add_past(self._of(one.tally.org).cells, self.shared, one, self._clock())

    async def listed(self, entries: Collection[str]) -> set[str]:
        alive = self.shared.alive(self._clock())
        return {name for name in entries if ("", name) in alive}

    async def followed(self) -> int:
        return self.shared.get("", MARK, self._clock()) or 0

    async def forget_lists(self) -> None:
        for _, name in self.shared.alive(self._clock()):
            if name == MARK or name.startswith(entry_name("", "")[:2]):
                self.shared.drop("", name)

    async def follow(self, entries: Sequence[Entry]) -> int:
        return follow(self.shared, entries, self._clock())

    async def snapshot(self, org: str, names: tuple[str, ...]) -> Snapshot:
        shard, now_ms = self._of(org), self._clock()
        balances = tuple(shard.cells.get(org, name, now_ms) or 0 for name in names)
        return Snapshot(keys.shard_of(org), 1, len(shard.records) - 1, now_ms, balances)

    async def first_body(self, name: str, digest: bytes, kept_ms: int) -> bytes:
        now_ms = self._clock()
        found: bytes | None = self.shared.get("", name, now_ms)
        if found is None:
            self.shared.replace("", name, digest, now_ms + kept_ms)
        return found or digest

    async def is_known(self, org: str) -> bool:
        cells = self._of(org).cells
        return cells.get(org, signal_name("o"), self._clock()) is not None

    async def last(self, shard: int) -> tuple[int, int]:
        return 1, len(self.shards[shard].records) - 1 if shard in self.shards else -1

    async def counters(
        self, org: str, counters: tuple[Counter, ...], now_ms: int
    ) -> list[tuple[int, int]]:
        return [machine.read_counter(self._of(org), org, c, now_ms) for c in counters]

    async def targets(self, org: str, index: str) -> list[str]:
        return sorted(self._of(org).cells.get(org, index, self._clock()) or ())

    async def records(self, after: Mapping[int, tuple[int, int]], limit: int) -> list[StreamRecord]:
        found = []
        for shard in sorted(self.shards):
            first = after[shard][1] + 1 if shard in after else 0
            lines = self.shards[shard].records[first : first + limit]
            for seq, line in enumerate(lines, first):
                out, kept = records.encode(line.out), b""
                if line.kept is not None:
                    key = keys.org_prefix(shard, line.org) + line.kept.name
                    kept = records.encode_kept(line.kept.expires_ms, line.kept.digest, key)
                found.append(
                    StreamRecord(shard, 1, seq, line.kind, out, line.body, line.terms, kept)
                )
        return found

    async def trim(self, upto: Mapping[int, tuple[int, int]]) -> None:
        """Do nothing: a record's number is its place, so records stay."""

    async def ping(self) -> int:
        return self._clock()

    async def close(self) -> None:
        """Do nothing: there is no connection."""
