"""The port of a store: what the rest of the gateway asks of one, whichever it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from gateway.core.commands import (
    AdjustOrder,
    Ended,
    EventOrder,
    Finish,
    GrantOrder,
    Idempotency,
    Moved,
    Outcome,
    Plan,
    Reply,
    Version,
    VoidOrder,
)
from gateway.core.counters import Counter
from gateway.core.holds import Hold
from gateway.core.velocity import Entry, Past
from gateway.wire.records import StreamRecord

Result = Outcome | Ended | Moved
"""The result of a function that is called under an idempotency key."""
TOLD, UNDONE = "told", "undone"
"""The fates of a decision whose answer was lost: acknowledged, or reversed; see `claim`."""


class Snapshot(Struct, frozen=True):
    """Balances (micros), with the last record of the shard that may have moved them."""

    shard: int
    epoch: int
    seq: int
    now_ms: int
    balances: tuple[int, ...]


class ShardState(Struct, frozen=True):
    """The status of a shard.

    It is whether the shard is open, its epoch (0: none), and (epoch, seq) of its last record.
    """

    is_open: bool
    epoch: int
    last: tuple[int, int]


class Store(Protocol):
    """The hot state.

    Every method raises Unavailable when the store does not answer in time.
    """

    async def authorize(self, plan: Plan) -> Reply:
        """Decide a plan; see core.machine.authorize."""
        ...

    async def finish(self, order: Finish) -> Reply:
        """End a hold; see core.settle.finish."""
        ...

    async def grant(self, order: GrantOrder) -> Reply:
        """Give credit; see core.machine.grant."""
        ...

    async def void(self, order: VoidOrder) -> Reply:
        """End a grant; see core.machine.void."""
        ...

    async def adjust(self, order: AdjustOrder) -> Reply:
        """Move funds; see core.machine.adjust."""
        ...

    async def event(self, order: EventOrder) -> Reply:
        """Record and count a business event; see core.machine.event."""
        ...

    async def kept(self, org: str, idempotency: Idempotency, result: type[Result]) -> Reply | None:
        """Return a stored result by its key, as a REPLAY or REUSED; None when there is none."""
        ...

    async def claim(self, decision_id: str, purpose: str) -> str:
        """Record the fate of a decision whose answer was lost; the first one recorded stays.

        The decision is acknowledged (a retry got the answer) or reversed. Returns the fate that is
        recorded.
        """
        ...

    async def lease(self, name: str, holder: str, for_ms: int) -> bool:
        """Take, or prolong, a lease on what one process does for all, for `for_ms`.

        Returns whether the holder has it.
        """
        ...

    async def forget(self, org: str, idempotency: Idempotency) -> None:
        """Delete the result that is stored under an idempotency key."""
        ...

    async def expire(self, shards: range, limit: int) -> int:
        """End what is due in these shards, at most `limit` in each; return how many ended."""
        ...

    async def hold(self, hold_id: str) -> tuple[Hold, bytes] | None:
        """Return a hold and what was asked for it, or None when the store does not know it."""
        ...

    async def grants(self, org: str) -> tuple[int, list[tuple[bytes, int]]]:
        """Return the version of an org's grants, and each one's metadata and remaining micros."""
        ...

    async def fence(self, version: Version, shards: tuple[int, ...]) -> int:
        """Raise a version to at least `expected` in these shards; return the highest one found."""
        ...

    async def backfill(self, past: Sequence[Past]) -> None:
        """Backfill velocity counters with what happened before; see core.velocity.add_past."""
        ...

    async def listed(self, entries: Collection[str]) -> set[str]:
        """Return which of these list items are on their list, by the names of their counters."""
        ...

    async def followed(self) -> int:
        """Return the number of the last list change that was applied; 0 for none."""
        ...

    async def forget_lists(self) -> None:
        """Delete all lists, and the number of the last list change."""
        ...

    async def follow(self, entries: Sequence[Entry]) -> int:
        """Apply list changes; see core.velocity.follow."""
        ...

    async def snapshot(self, org: str, names: tuple[str, ...]) -> Snapshot:
        """Read balances and gauges of an org at one point of its shard's records."""
        ...

    async def first_body(self, name: str, digest: bytes, kept_ms: int) -> bytes:
        """Return the digest that came first under a name; this one, where it is the first."""
        ...

    async def is_known(self, org: str) -> bool:
        """Return whether an org asked for anything within a day."""
        ...

    async def last(self, shard: int) -> tuple[int, int]:
        """Return (epoch, seq) of a shard's last record; seq is -1 where there is none."""
        ...

    async def counters(
        self, org: str, counters: tuple[Counter, ...], now_ms: int
    ) -> list[tuple[int, int]]:
        """Read the two numbers of counters as of `now_ms` (Unix ms); zeros where there is none."""
        ...

    async def targets(self, org: str, index: str) -> list[str]:
        """List the targets in use of a cap that each entity of a level has its own of."""
        ...

    async def records(self, after: Mapping[int, tuple[int, int]], limit: int) -> list[StreamRecord]:
        """Read the next records of each shard after (epoch, seq), at most `limit` per shard."""
        ...

    async def trim(self, upto: Mapping[int, tuple[int, int]]) -> None:
        """Delete records up to and including (epoch, seq) of each shard."""
        ...

    async def ping(self) -> int:
        """Return the store's clock in Unix ms."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...
