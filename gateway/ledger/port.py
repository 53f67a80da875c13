"""What the writer asks of a ledger database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from gateway.ledger.batch import Batch, Head, Position
from gateway.ledger.hot import HotKey, HotRow, HotSave
from gateway.wire.records import StreamRecord


class Streams(Protocol):
    """Where the writer's records come from: the part of a store it needs."""

    async def records(self, after: Mapping[int, Position], limit: int) -> list[StreamRecord]:
        """The next records of each shard behind its position, at most `limit` a shard."""
        ...

    async def trim(self, upto: Mapping[int, Position]) -> None:
        """Forget records up to and with each shard's position."""
        ...


class Marks(Protocol):
    """Where the writer says how far it came, for who has only the store."""

    async def book(self, n: int, digest: bytes) -> None:
        """The last batch that was written."""
        ...

    async def stop(self, reason: str) -> None:
        """Nothing more is written, and why; "" that it is again."""
        ...


class History(Protocol):
    """The records that are in the ledger, for who replays them."""

    async def lines(self, from_row: int, limit: int) -> list[StreamRecord]:
        """The records from a row on, in their order."""
        ...


class SecondWriter(Exception):
    """Another writer moved the chain: this batch was not written."""


class Written(Struct, frozen=True):
    """How far the ledger is: the head of its chain, and each shard's cursor.

    A cursor is the last record's position or, where an epoch has begun, (epoch, -1); `last` is
    the last record there is, even then. `hot_row`: up to which record the hot state was saved.
    """

    head: Head
    cursors: dict[int, Position]
    last: dict[int, Position]
    hot_row: int


class LedgerWriter(Protocol):
    """Writes batches exactly once: rows, totals, cursors and the chain in one transaction.

    Every method raises Unavailable when the database does not answer.
    """

    async def written(self) -> Written:
        """How far the ledger is."""
        ...

    async def write(self, batch: Batch) -> None:
        """Write a batch. Raises SecondWriter, having changed nothing, if the chain went on."""
        ...

    async def start_epochs(self, epochs: Mapping[int, int]) -> None:
        """Begin new epochs of shards: no record of an earlier one is taken from now on."""
        ...

    async def hot(self, keys: Sequence[HotKey]) -> list[HotRow]:
        """Those of these rows of the hot state that are saved."""
        ...

    async def save_hot(self, save: HotSave) -> None:
        """Save hot state, and forget what has expired. Raises SecondWriter if another one did."""
        ...

    async def close(self) -> None:
        """Let go of the database."""
        ...
