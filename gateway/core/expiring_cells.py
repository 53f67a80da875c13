"""Named values that may expire: the reference machine has its counts and balances in them."""

from __future__ import annotations

from typing import Any


class Cells:
    """Named values with an expiry, as a store would have them.

    Times are Unix ms; 0 is never.
    """

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str], tuple[Any, int]] = {}

    def get(self, org: str, name: str, now_ms: int) -> Any:
        """Return the value, or None when there is none or it has expired."""
        cell = self._cells.get((org, name))
        if cell is None or (cell[1] and cell[1] <= now_ms):
            return None
        return cell[0]

    def put(self, org: str, name: str, value: Any, now_ms: int, expires_ms: int = 0) -> None:
        """Set a value; an existing one keeps its expiry, a new one takes `expires_ms`."""
        stands = self.get(org, name, now_ms) is not None
        kept_ms = self._cells[(org, name)][1] if stands else expires_ms
        self._cells[(org, name)] = (value, kept_ms)

    def replace(self, org: str, name: str, value: Any, expires_ms: int) -> None:
        """Set a value and its expiry, whatever was there before."""
        self._cells[(org, name)] = (value, expires_ms)

    def prolong(self, org: str, name: str, expires_ms: int) -> None:
        """Let a cell live at least until `expires_ms`; one that never expires stays so."""
        value, current_ms = self._cells[(org, name)]
        if current_ms and current_ms < expires_ms:
            self._cells[(org, name)] = (value, expires_ms)

    def drop(self, org: str, name: str) -> None:
        """Remove a cell if it exists."""
        self._cells.pop((org, name), None)

    def sweep(self, now_ms: int) -> None:
        """Remove what has expired."""
        self._cells = {k: (v, at) for k, (v, at) in self._cells.items() if not at or at > now_ms}

    def alive(self, now_ms: int) -> dict[tuple[str, str], Any]:
        """Return every value that has not expired, by org and name."""
        return {k: v for k, (v, at) in self._cells.items() if not at or at > now_ms}
