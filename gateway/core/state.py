"""The state of the reference machine: cells that may expire, holds, records."""

from __future__ import annotations

from msgspec import Struct

from gateway.core.commands import Ended, Moved, Outcome
from gateway.core.expiring_cells import Cells
from gateway.core.holds import Hold


class StoredResult(Struct, frozen=True):
    """The place of a result stored under an idempotency key: name, digest and expiry (Unix ms)."""

    name: str
    digest: bytes
    expires_ms: int


class Record(Struct):
    """One record of a shard's stream: what happened, and what was asked, as `terms` and `body`."""

    kind: str
    out: Outcome | Ended | Moved
    body: bytes
    terms: bytes = b""
    org: str = ""
    kept: StoredResult | None = None


class Shard:
    """The state of one stream: what Redis has under one hash tag.

    `shared` are the cells of what many orgs share, which belong to no stream.
    """

    def __init__(self, shared: Cells | None = None) -> None:
        self.cells = Cells()
        self.shared = Cells() if shared is None else shared
        self.holds: dict[str, tuple[Hold, bytes, int]] = {}
        """Hold id → (hold, what was asked, expiry of the hold's cell; 0 while it is open)."""
        self.versions: dict[tuple[str, str], int] = {}
        self.grants: dict[str, dict[str, tuple[str, bytes]]] = {}
        """Org → grant id → (currency, metadata)."""
        self.due: dict[str, int] = {}
        """Member → the time (Unix ms) at which the sweep has to end it."""
        self.epoch = 1
        self.records: list[Record] = []
        self.is_open = True

    def hold(self, hold_id: str, now_ms: int) -> tuple[Hold, bytes] | None:
        """Return a hold and what was asked for it, or None once the store has forgotten it."""
        entry = self.holds.get(hold_id)
        if entry is None or (entry[2] and entry[2] <= now_ms):
            return None
        return entry[0], entry[1]
