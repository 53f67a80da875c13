"""Hooks for events worth counting. Implementations must be quick and never raise."""

from __future__ import annotations

from typing import Protocol

from gateway.core.commands import Ended
from gateway.core.request_record import RequestRecord


class Hooks(Protocol):
    """Callbacks of the use cases."""

    def on_decision(self, asked: RequestRecord, allowed: bool, code: int) -> None:
        """A request was decided, not replayed; `code` is that of its weightiest reason, or 0."""
        ...

    def on_end(self, ended: Ended) -> None:
        """A call ended a hold."""
        ...

    def on_stale(self) -> None:
        """A plan was stale and is compiled again."""
        ...

    def on_unavailable(self, code: str) -> None:
        """A decision could not be made because a component does not answer; `code` names it."""
        ...

    def on_stand_in(self, currency: str, micros: int) -> None:
        """A stand-in approval: a request was allowed while the store is down. Money in micros."""
        ...

    def on_stand_in_charged(self) -> None:
        """A stand-in approval was charged."""
        ...

    def on_reversed(self) -> None:
        """A decision whose answer came too late was reversed."""
        ...

    def on_request(self, route: str, status: int, seconds: float) -> None:
        """An HTTP request was answered."""
        ...
