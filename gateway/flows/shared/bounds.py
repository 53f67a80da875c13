"""The error for one object more than is allowed."""

from __future__ import annotations

from gateway.errors import CallerError


def too_many(what: str, most: int, pointer: str = "", more: str = "") -> CallerError:
    """Build the error 422 for one object more than is allowed."""
    return CallerError("too_many", f"at most {most:,} {what} are allowed{more}", pointer=pointer)
