"""Check and convert the query of a URL."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from gateway.errors import CallerError
from gateway.ledger.reading import NO_ROW
from gateway.wire.ids import IdFault, check_id

LIMIT, MOST = 100, 1_000
_count = re.compile(r"[0-9]{1,4}")
_row = re.compile(r"[0-9]{1,18}")


def limit_in(text: str | None) -> int:
    """How many a page may have. Raises CallerError."""
    if text is None:
        return LIMIT
    if _count.fullmatch(text) is None or not 1 <= int(text) <= MOST:
        raise CallerError("invalid_request", f"limit takes 1 to {MOST}, not {text[:20]!r}")
    return int(text)


def org_in(text: str | None) -> str:
    """The org that is asked for; "" where none is. Raises CallerError."""
    try:
        return check_id(text) if text else ""
    except IdFault as fault:
        raise CallerError("invalid_request", f"org: {fault}") from None


def row_in(text: str | None) -> int:
    """The row that a page goes on before. Raises CallerError."""
    if text is None:
        return NO_ROW
    if _row.fullmatch(text) is None:
        raise not_ours()
    return int(text)


def not_ours() -> CallerError:
    """A cursor that no answer ended with."""
    return CallerError("invalid_request", "cursor is not one that was answered here")


def time_in(text: str | None, name: str, default_ms: int) -> int:
    """Convert a time or date to Unix ms. Raises CallerError."""
    if text is None:
        return default_ms
    try:
        at = datetime.fromisoformat(text)
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        detail = f"{name} must be an RFC 3339 time or a date, not {text!r}"
        raise CallerError("invalid_request", detail) from None
