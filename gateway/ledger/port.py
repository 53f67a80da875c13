"""Ports of the ledger writer: the streams it reads, and the database it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from gateway.ledger.batch import Batch, Head, Position
from gateway.ledger.hot import HotKey, HotRow, HotSave
from gateway.wire.records import StreamRecord


class Streams(Protocol):
    """Source of the writer's records: the part of a store that it needs."""

    async def records(self, after: Mapping[int, Position], limit: int) -> list[StreamRecord]:
        """Return the next records of each shard after its position, at most `limit` a shard."""
        ...

    async def trim(self, upto: Mapping[int, Position]) -> None:
        """Delete the records of each shard up to and including its position."""
        ...


class Marks(Protocol):
    """Progress of the writer in the store, for processes that read only the store."""

    async def book(self, n: int, digest: bytes) -> None:
        """Record the last written batch by number and hash."""
        ...

    async def stop(self, reason: str) -> None:
        """Record why nothing more is written; "" clears it."""
        ...


class History(Protocol):
    """Records of the ledger, for a replay."""

    async def lines(self, from_row: int, limit: int) -> list[StreamRecord]:
        """Return the records of rows [from_row, from_row + limit), in order."""
        ...


class SecondWriter(Exception):
    """Another writer has extended the chain: this batch was not written."""


class Written(Struct, frozen=True):
    """Progress of the ledger: the end of its chain, and each shard's cursor.

    A cursor is the position of the shard's last record, or (epoch, -1) at the start of an epoch;
    `last` is the position of the last record in both cases. `hot_row` is the row up to which the
    hot state was saved.
    """

    head: Head
    cursors: dict[int, Position]
    last: dict[int, Position]
    hot_row: int


class LedgerWriter(Protocol):
    """Writing side of a ledger database. A batch is written exactly once.

    Rows, totals, cursors and the chain change in one transaction. Every method raises Unavailable
    if the database does not answer.
    """

    async def written(self) -> Written:
        """Return the progress of the ledger."""
        ...

    async def write(self, batch: Batch) -> None:
        """Write a batch. Raises SecondWriter, having changed nothing, if the chain was extended."""
        ...

    async def start_epochs(self, epochs: Mapping[int, int]) -> None:
        """Begin new epochs of shards: records of earlier epochs are refused from now on."""
        ...

    async def hot(self, keys: Sequence[HotKey]) -> list[HotRow]:
        """Return the saved rows of the hot state that have these keys."""
        ...

    async def save_hot(self, save: HotSave) -> None:
        """Save hot state and delete expired rows. Raises SecondWriter if another writer did so."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...
