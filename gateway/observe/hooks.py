"""The moments worth watching. Implementations must be quick and never raise."""

from __future__ import annotations

from typing import Protocol

from gateway.core.commands import Ended
from gateway.core.request_record import RequestRecord


class Hooks(Protocol):
    """Called by flows."""

    def on_decision(self, asked: RequestRecord, allowed: bool, code: int) -> None:
        """A request was decided (replays are not); `code` is its weightiest reason's, or 0."""
        ...

    def on_end(self, ended: Ended) -> None:
        """A hold ended by a call."""
        ...

    def on_stale(self) -> None:
        """A plan was stale and is made anew."""
        ...

    def on_unavailable(self, code: str) -> None:
        """A decision could not be made because a part does not answer."""
        ...

    def on_opened(self, currency: str, micros: int) -> None:
        """A request was allowed without the store, by its org's policy."""
        ...

    def on_charged(self) -> None:
        """What was allowed without the store was charged."""
        ...

    def on_undone(self) -> None:
        """A decision whose answer came too late was undone."""
        ...

    def on_request(self, route: str, status: int, seconds: float) -> None:
        """An HTTP request was answered."""
        ...
