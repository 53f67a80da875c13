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


class EventShown(Answer):
    """A recorded event. Personal data in `context` are keyed hashes."""

    id: str
    type: str
    subject: dict[str, str]
    amount_micros: int
    context: dict[str, str | int]
    credential: str
    at: str
    recorded_at: str


class ListCount(Answer):
    """A list and the number of its items; a value counts once for each of its spellings."""

    list: str
    items: int
