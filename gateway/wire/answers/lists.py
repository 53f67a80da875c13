"""Answers about list items and business events."""

from __future__ import annotations

from gateway.wire.answers.base import Answer


class ItemAnswer(Answer):
    """A list item. The gateway has only a keyed hash; `value` is what the caller sent."""

    list: str
    value: str
    expires_at: str | None
    note: str
    author: str
    updated_at: str


class ItemsAnswer(Answer):
    """Number of items put on a list."""

    list: str
    items: int


class EventAnswer(Answer):
    """An event as it was recorded."""

    id: str
    type: str
    at: str
    recorded_at: str
