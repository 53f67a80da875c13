"""The base of all answers, pages, and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Generic, TypeVar

from msgspec import Struct

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Answer(Struct, kw_only=True):
    """An answer's body."""


A = TypeVar("A", bound=Answer)


class PageAnswer(Answer, Generic[A]):
    """A page of objects; `next_cursor` requests the next one, null is the end."""

    data: list[A]
    next_cursor: str | None


@lru_cache(maxsize=4096)
def rfc3339(ms: int) -> str:
    """Format a time (Unix ms) in UTC, with milliseconds."""
    text = (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
