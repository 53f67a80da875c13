"""What the reference machine keeps: cells that may expire, holds, records."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from gateway.core.holds import Hold
from gateway.core.orders import Ended, Moved, Outcome


class Cells:
    """Named values with an expiry, as a store would keep them. Times are Unix ms; 0 is never."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str], tuple[Any, int]] = {}

    def get(self, org: str, name: str, now_ms: int) -> Any:
        """The value, or None when there is none or its time is over."""
        cell = self._cells.get((org, name))
        if cell is None or (cell[1] and cell[1] <= now_ms):
            return None
        return cell[0]

    def put(self, org: str, name: str, value: Any, now_ms: int, expires_ms: int = 0) -> None:
        """Set a value; one that stands keeps its expiry, a new one takes `expires_ms`."""
        stands = self.get(org, name, now_ms) is not None
        kept_ms = self._cells[(org, name)][1] if stands else expires_ms
        self._cells[(org, name)] = (value, kept_ms)

    def replace(self, org: str, name: str, value: Any, expires_ms: int) -> None:
        """Set a value and its expiry, whatever stood there."""
        self._cells[(org, name)] = (value, expires_ms)

    def prolong(self, org: str, name: str, expires_ms: int) -> None:
        """Let a cell live until then at the least; one that never expires stays so."""
        value, current_ms = self._cells[(org, name)]
        if current_ms and current_ms < expires_ms:
            self._cells[(org, name)] = (value, expires_ms)

    def drop(self, org: str, name: str) -> None:
        """Remove a cell if it is there."""
        self._cells.pop((org, name), None)

    def alive(self, now_ms: int) -> dict[tuple[str, str], Any]:
        """Every value that has not expired."""
        return {k: v for k, (v, at) in self._cells.items() if not at or at > now_ms}


class Kept(Struct, frozen=True):
    """That a record's outcome is kept under an idempotency key: its name, digest and end."""

    name: str
    digest: bytes
    expires_ms: int


class Record(Struct):
    """One line of a shard's stream: what happened, and what was asked: `terms` and `body`."""

    kind: str
    out: Outcome | Ended | Moved
    body: bytes
    terms: bytes = b""
    org: str = ""
    kept: Kept | None = None


class Shard:
    """The state behind one stream: what Redis keeps under one hash tag."""

    def __init__(self) -> None:
        self.cells = Cells()
        self.holds: dict[str, tuple[Hold, bytes, int]] = {}
        """hold id → (hold, what was asked, expiry of the entry; 0 while it is open)."""
        self.versions: dict[tuple[str, str], int] = {}
        self.grants: dict[str, dict[str, tuple[str, bytes]]] = {}
        """org → grant id → (currency, metadata)."""
        self.due: dict[str, int] = {}
        """member → the moment the sweep has to end it."""
        self.epoch = 1
        self.records: list[Record] = []
        self.is_open = True

    def hold(self, hold_id: str, now_ms: int) -> tuple[Hold, bytes] | None:
        """A hold and what was asked for it, while the store still knows it."""
        entry = self.holds.get(hold_id)
        if entry is None or (entry[2] and entry[2] <= now_ms):
            return None
        return entry[0], entry[1]
