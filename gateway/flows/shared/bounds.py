"""The error for one more than there may be."""

from __future__ import annotations

from gateway.errors import CallerError


def too_many(what: str, most: int, pointer: str = "") -> CallerError:
    """One more than there may be."""
    return CallerError("too_many", f"there may be {most:,} {what}", pointer=pointer)
