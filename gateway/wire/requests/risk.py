"""Bodies of rule sets, models, labels, reviews, events and lists."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from gateway.wire.fields import WITHOUT_NUL, MadeId, Micros, Score, Text, Time
from gateway.wire.ids import Message
from gateway.wire.requests.spend import Context, Subject


class RuleSetBody(Message, frozen=True):
    """A file of rules."""

    text: Annotated[str, Meta(min_length=1, max_length=300_000, pattern=WITHOUT_NUL)]
    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=WITHOUT_NUL)] | None = None


class ModelBody(Message, frozen=True):
    """A model as a file: what `spendgate models train` wrote."""

    text: Annotated[str, Meta(min_length=1, max_length=16_000_000, pattern=WITHOUT_NUL)]


class Thresholds(Message, frozen=True):
    """Scores from which on something is done; what is absent is not done."""

    block: Score | None = None
    challenge: Score | None = None
    review: Score | None = None


class ActivateModelBody(Message, frozen=True):
    """The new mode of a model; an active one uses its own `thresholds` unless others are given.

    Several challengers may be in shadow; an active model takes the place of the one before.
    `force`, with a note, passes the guard of what it would stop.
    """

    mode: Literal["shadow", "active", "retired"]
    thresholds: Thresholds | None = None
    note: Text | None = None
    force: bool | None = None


class ActivateBody(Message, frozen=True):
    """The new mode of a rule set. `force`, with a note, skips the guard on what it would deny."""

    mode: Literal["shadow", "active", "retired"]
    percent: Annotated[int, Meta(ge=1, le=100)] | None = None
    note: Text | None = None
    force: bool | None = None


class LabelBody(Message, frozen=True):
    """A label of a decision, and since when the fact is known (absent: now)."""

    decision: MadeId
    label: Literal["fraud", "good"]
    observed_at: Time | None = None
    note: Text | None = None


class LabelsBody(Message, frozen=True):
    """Many labels, recorded independently."""

    labels: Annotated[list[LabelBody], Meta(min_length=1, max_length=500)]


class ReviewBody(Message, frozen=True):
    """The result of a review, and why."""

    label: Literal["fraud", "good"]
    note: Text | None = None


class EventBody(Message, frozen=True):
    """A business event outside authorize, and when it happened (absent: now)."""

    type: Literal[
        "sign_up", "login", "payment_succeeded", "payment_declined", "chargeback", "auth_failed"
    ]
    subject: Subject
    at: Time | None = None
    amount_micros: Micros | None = None
    context: Context | None = None


class ItemBody(Message, frozen=True):
    """A list item: how long it stays on the list, and why."""

    expires_at: Time | UnsetType | None = UNSET
    note: Text | UnsetType | None = UNSET


class ListedItem(Message, frozen=True):
    """One of many items: an id, an address, a network, an asn, a device, a mail domain."""

    value: Annotated[str, Meta(min_length=1, max_length=1600)]
    expires_at: Time | None = None
    note: Text | None = None


class ItemsBody(Message, frozen=True):
    """Many items of one list."""

    items: Annotated[list[ListedItem], Meta(min_length=1, max_length=1000)]


class SpanBody(Message, frozen=True):
    """A span of time (absent: the last day); labels count if recorded before `labels_by`."""

    from_: Time | None = field(default=None, name="from")
    to: Time | None = None
    labels_by: Time | None = None
