"""Spans of time as all commands take them: how long ago, a day, or an instant."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import urlencode

import typer

from gateway.errors import OperatorError

TAKES = "how long ago (90m, 12h, 1d, 2w), a day (2026-11-01, UTC) or an instant (RFC 3339)"
Since = Annotated[str | None, typer.Option(help=f"from: {TAKES}")]
Until = Annotated[str | None, typer.Option(help=f"up to: {TAKES}")]
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_ago = re.compile(r"([0-9]{1,6})([mhdw])")


def rfc3339_of(text: str | None, now: datetime | None = None) -> str | None:
    """Convert a time option to RFC 3339. Raises OperatorError."""
    if text is None:
        return None
    ago = _ago.fullmatch(text.strip())
    try:
        if ago is not None:
            at = (now or datetime.now(UTC)) - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        else:
            at = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise OperatorError("bad_time", f"{text!r} is no time: give {TAKES}") from None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def span_of(since: str | None, until: str | None) -> str:
    """A span as the query of a path, with its question mark; "" without one."""
    named = (("from", rfc3339_of(since)), ("to", rfc3339_of(until)))
    given = {name: at for name, at in named if at is not None}
    return f"?{urlencode(given)}" if given else ""
