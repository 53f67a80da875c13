"""One format for spans of time in all commands."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.cli.times import rfc3339_of, span_of
from gateway.errors import OperatorError

NOW = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90m", "2026-11-28T10:30:00Z"),
        ("12h", "2026-11-28T00:00:00Z"),
        ("1d", "2026-11-27T12:00:00Z"),
        ("2w", "2026-11-14T12:00:00Z"),
        ("2026-11-01", "2026-11-01T00:00:00Z"),
        ("2026-11-01T10:00:00+08:00", "2026-11-01T02:00:00Z"),
        ("2026-11-01T10:00:00Z", "2026-11-01T10:00:00Z"),
        (None, None),
    ],
)
def test_a_time_is_how_long_ago_a_day_or_an_instant(text: str | None, at: str | None) -> None:
    assert rfc3339_of(text, NOW) == at


@pytest.mark.parametrize("text", ["", "yesterday", "1y", "-1d", "999999w", "2026-13-01", "1.5h"])
def test_anything_else_is_refused_with_what_it_takes(text: str) -> None:
    with pytest.raises(OperatorError, match="how long ago"):
        rfc3339_of(text, NOW)


def test_a_span_is_a_query() -> None:
    assert span_of(None, None) == ""
    assert span_of("2026-11-01", None) == "?from=2026-11-01T00%3A00%3A00Z"
