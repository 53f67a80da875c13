"""Bodies of authorize, capture, extend and release."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from gateway.wire.fields import (
    Count,
    Country,
    HoldTtl,
    MadeId,
    Micros,
    Quantity,
    Short,
    Tags,
    Text,
    Unit,
)
from gateway.wire.ids import Id, Identified, Message


class Subject(Identified, frozen=True):
    """The spender: an org, and optionally its project, user and key."""

    org: Id
    project: Id | None = None
    user: Id | None = None
    key: Id | None = None


class Partial(Message, frozen=True):
    """One unit that may be granted in part, down to `at_least`."""

    unit: Unit
    at_least: Count


class Challenge(Message, frozen=True):
    """Result of the step-up check that an earlier decision demanded."""

    decision: MadeId
    passed: bool


class Context(Message, frozen=True):
    """Where the request came from."""

    ip: Short | None = None
    country: Country | None = None
    asn: Annotated[int, Meta(ge=0, le=4_294_967_295)] | None = None
    device: Short | None = None
    email_domain: Short | None = None
    user_agent: Text | None = None


class AuthorizeBody(Identified, frozen=True):
    """May this subject spend this much on this product now?"""

    subject: Subject
    product: Id
    quantity: Quantity | None = None
    amount_micros: Micros | None = None
    capture: bool | None = None
    hold_ttl_s: HoldTtl | None = None
    partial: Partial | None = None
    run: Id | None = None
    challenge: Challenge | None = None
    context: Context | None = None
    dry_run: bool | None = None
    tags: Tags | None = None


class BatchItem(AuthorizeBody, frozen=True):
    """One authorize of a batch, with its own idempotency key."""

    idempotency_key: Annotated[str, Meta(min_length=1, max_length=255)] | None = None


class BatchBody(Message, frozen=True):
    """Up to 500 authorize requests, decided independently."""

    requests: Annotated[
        list[Any],
        Meta(
            max_length=500,
            extra_json_schema={"items": {"$ref": "#/components/schemas/BatchItem"}},
        ),
    ]


class CaptureBody(Message, frozen=True):
    """Actual use: exactly one of quantity and amount."""

    quantity: Quantity | None = None
    amount_micros: Micros | None = None


class ExtendBody(Message, frozen=True):
    """An addition to a hold; with `hold_ttl_s` it then expires that long from now."""

    quantity: Quantity | None = None
    amount_micros: Micros | None = None
    hold_ttl_s: HoldTtl | None = None


class EmptyBody(Message, frozen=True):
    """Nothing to say."""
