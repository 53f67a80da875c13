"""Check and convert the query of a URL."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime

from gateway.errors import CallerError
from gateway.ledger.reading import NO_ROW
from gateway.wire.ids import IdFault, check_id

LIMIT, MOST = 100, 1_000
PAGE_LIMIT, PAGE_MOST = 50, 200
"""Objects on a page of a collection: by default, and at most."""
_count = re.compile(r"[0-9]{1,4}")
_row = re.compile(r"[0-9]{1,18}")


def limit_in(text: str | None) -> int:
    """Parse the page size of a log or queue. Raises CallerError."""
    if text is None:
        return LIMIT
    if _count.fullmatch(text) is None or not 1 <= int(text) <= MOST:
        raise CallerError(
            "invalid_request", f"limit takes 1 to {MOST}, not {text[:20]!r}", parameter="limit"
        )
    return int(text)


def page_limit_in(text: str | None) -> int:
    """Parse the page size of a collection. Raises CallerError."""
    if text is None:
        return PAGE_LIMIT
    if _count.fullmatch(text) is None or not 1 <= int(text) <= PAGE_MOST:
        raise CallerError(
            "invalid_request", f"limit takes 1 to {PAGE_MOST}, not {text[:20]!r}", parameter="limit"
        )
    return int(text)


def cursor_of(after: str) -> str:
    """The cursor of the page that begins after an id: opaque, safe in URLs."""
    return urlsafe_b64encode(after.encode()).decode().rstrip("=")


def after_in(cursor: str | None) -> str:
    """The id that a page begins after; "" for the first page. Raises CallerError."""
    if cursor is None:
        return ""
    try:
        after = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode()
    except ValueError:
        raise not_ours() from None
    if not after or cursor_of(after) != cursor:
        raise not_ours()
    return after


def one_of(query: dict[str, str], name: str, known: Sequence[str]) -> str:
    """The value of a parameter that takes one of these; "" without it. Raises CallerError."""
    asked = query.get(name, "")
    if asked and asked not in known:
        detail = f"{name} takes {', '.join(known)}, not {asked[:40]!r}"
        raise CallerError("invalid_request", detail, parameter=name)
    return asked


def org_in(text: str | None) -> str:
    """The org that is asked for; "" where none is. Raises CallerError."""
    try:
        return check_id(text) if text else ""
    except IdFault as fault:
        raise CallerError("invalid_request", f"org: {fault}", parameter="org") from None


def row_in(text: str | None) -> int:
    """The row that a page goes on before. Raises CallerError."""
    if text is None:
        return NO_ROW
    if _row.fullmatch(text) is None:
        raise not_ours()
    return int(text)


def number_after(cursor: str | None) -> int:
    """The number that a page goes on after; 0 for the first page. Raises CallerError."""
    return 0 if cursor is None else row_in(cursor)


def not_ours() -> CallerError:
    """A cursor that no answer ended with."""
    return CallerError(
        "invalid_request", "cursor is not one that was answered here", parameter="cursor"
    )


def time_in(text: str | None, name: str, default_ms: int) -> int:
    """Convert a time or date to Unix ms. Raises CallerError."""
    if text is None:
        return default_ms
    try:
        at = datetime.fromisoformat(text)
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        detail = f"{name} must be an RFC 3339 time or a date, not {text!r}"
        raise CallerError("invalid_request", detail, parameter=name) from None
