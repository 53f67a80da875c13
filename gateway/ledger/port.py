"""What the writer asks of a ledger database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gateway.ledger.rows import Rows
from gateway.wire.records import StreamRecord

Position = tuple[int, int]
"""(epoch, seq) of a shard's record."""


class Streams(Protocol):
    """Where the writer's records come from: the part of a store it needs."""

    async def records(self, after: Mapping[int, Position], limit: int) -> list[StreamRecord]:
        """The next records of each shard behind its position, at most `limit` a shard."""
        ...

    async def trim(self, upto: Mapping[int, Position]) -> None:
        """Forget records up to and with each shard's position."""
        ...


class SecondWriter(Exception):
    """Another writer moved the cursor: this batch was not written."""


class LedgerWriter(Protocol):
    """Writes batches exactly once: rows, totals and cursors in one transaction."""

    async def cursors(self) -> dict[int, Position]:
        """How far each shard has been written."""
        ...

    async def write(
        self, rows: Rows, before: Mapping[int, Position], after: Mapping[int, Position]
    ) -> None:
        """Write rows and move the cursors of the shards in `after` from `before`.

        Raises SecondWriter, having changed nothing, when a cursor is not where `before` says.
        """
        ...
