"""What the rest of the gateway asks of a store, whichever it is."""

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
from gateway.core.holds import Hold
from gateway.core.velocity import Entry, Past
from gateway.wire.records import StreamRecord

Result = Outcome | Ended | Moved
"""What a function that is called under an idempotency key ends with."""
TOLD, UNDONE = "told", "undone"
"""What becomes of a decision whose answer came too late; see `claim`."""


class Snapshot(Struct, frozen=True):
    """Balances together with the last record of the shard that may have moved them."""

    shard: int
    epoch: int
    seq: int
    now_ms: int
    balances: tuple[int, ...]


class Standing(Struct, frozen=True):
    """Whether a shard is open, its epoch (0: none), and (epoch, seq) of its last record."""

    is_open: bool
    epoch: int
    last: tuple[int, int]


class Store(Protocol):
    """The hot state. Every method raises `Unavailable` when the store does not answer in time."""

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
        """Record and count what happened outside requests; see core.machine.event."""
        ...

    async def kept(self, org: str, idempotency: Idempotency, result: type[Result]) -> Reply | None:
        """What is kept under an idempotency key, as a REPLAY or REUSED; None when nothing is."""
        ...

    async def claim(self, decision_id: str, purpose: str) -> str:
        """Say what becomes of a decision nobody was told of; what was said first stays.

        TOLD to whoever repeated the call, or UNDONE. Returns which of them it is.
        """
        ...

    async def lease(self, name: str, holder: str, for_ms: int) -> bool:
        """Take, or prolong, what one of many does for all; whether the holder has it."""
        ...

    async def forget(self, org: str, idempotency: Idempotency) -> None:
        """Keep no longer what was answered under an idempotency key."""
        ...

    async def expire(self, shards: range, limit: int) -> int:
        """End what is due in these shards, at most `limit` in each; how many ended."""
        ...

    async def hold(self, hold_id: str) -> tuple[Hold, bytes] | None:
        """A hold and what was asked for it, or None when the store does not know it (any more)."""
        ...

    async def grants(self, org: str) -> tuple[int, list[tuple[bytes, int]]]:
        """The version of an org's grants, and each one's metadata and remaining micros."""
        ...

    async def fence(self, version: Version, shards: tuple[int, ...]) -> int:
        """Raise a version to at least `expected` in these shards; the highest one found."""
        ...

    async def warm(self, past: Sequence[Past]) -> None:
        """Add to tallies what happened before they were counted; see core.velocity.add_past."""
        ...

    async def standing(self, entries: Collection[str]) -> set[str]:
        """Those of the entries of lists (names of their tallies) that stand now."""
        ...

    async def followed(self) -> int:
        """The number of the last change of lists that was taken over; 0 for none."""
        ...

    async def forget_lists(self) -> None:
        """Forget all lists, and what was followed."""
        ...

    async def follow(self, entries: Sequence[Entry]) -> int:
        """Take over changes of lists; see core.velocity.follow."""
        ...

    async def snapshot(self, org: str, names: tuple[str, ...]) -> Snapshot:
        """Balances and gauges of an org at one point of its shard's records."""
        ...

    async def first_body(self, name: str, digest: bytes, kept_ms: int) -> bytes:
        """The digest that came first under a name; this one, where it is the first."""
        ...

    async def is_known(self, org: str) -> bool:
        """Whether an org asked for anything within a day."""
        ...

    async def last(self, shard: int) -> tuple[int, int]:
        """(epoch, seq) of a shard's last record; seq is -1 where there is none."""
        ...

    async def windows(self, org: str, names: tuple[str, ...]) -> list[tuple[int, int]]:
        """(used, held) of window counters; zeros where there is none."""
        ...

    async def targets(self, org: str, index: str) -> list[str]:
        """The targets in use of a cap that each one of a level has its own of."""
        ...

    async def records(self, after: Mapping[int, tuple[int, int]], limit: int) -> list[StreamRecord]:
        """The next records of each shard behind (epoch, seq), at most `limit` a shard."""
        ...

    async def trim(self, upto: Mapping[int, tuple[int, int]]) -> None:
        """Forget records up to and with (epoch, seq) of each shard."""
        ...

    async def ping(self) -> int:
        """The store's clock in Unix ms."""
        ...

    async def close(self) -> None:
        """Let go of the connection."""
        ...
