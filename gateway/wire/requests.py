"""Request bodies: one struct each, checked while it is decoded.

What a PUT leaves out (UNSET) keeps its value on what exists; null sets it to its default.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from gateway.core.entities import (
    GrantKind,
    Level,
    LimitUnit,
    Mode,
    OrgType,
    Period,
    Status,
    WindowKind,
)
from gateway.wire.fields import (
    WITHOUT_NUL,
    Bps,
    Count,
    Country,
    Currency,
    HoldTtl,
    MadeId,
    Metadata,
    Micros,
    PositiveMicros,
    Prices,
    Quantity,
    Scope,
    Score,
    Short,
    SignedMicros,
    Tags,
    Text,
    Time,
    Unit,
)
from gateway.wire.ids import Id, Identified, Message, Name


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
    """Whether the step-up check that an earlier decision asked for was passed."""

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


class OutageBody(Message, frozen=True):
    """The org's policy while the store is down: deny, or allow up to an amount."""

    policy: Literal["closed", "open"]
    max_open_micros: Micros | None = None


class OrgBody(Message, frozen=True):
    """An org's account."""

    name: Short | UnsetType | None = UNSET
    type: OrgType | UnsetType | None = UNSET
    plan: Name | UnsetType | None = UNSET
    currency: Currency | UnsetType | None = UNSET
    credit_line_micros: Micros | UnsetType | None = UNSET
    timezone: Annotated[str, Meta(max_length=64)] | UnsetType | None = UNSET
    status: Status | UnsetType | None = UNSET
    outage: OutageBody | UnsetType | None = UNSET
    country: Country | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class MemberBody(Message, frozen=True):
    """A project or user."""

    name: Short | UnsetType | None = UNSET
    status: Status | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class KeyBody(Identified, frozen=True):
    """A key, and whose it is."""

    name: Short | UnsetType | None = UNSET
    project: Id | UnsetType | None = UNSET
    user: Id | UnsetType | None = UNSET
    status: Literal["active", "disabled"] | UnsetType | None = UNSET
    expires_at: Time | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class GrantBody(Identified, frozen=True):
    """Credit for an org."""

    amount_micros: PositiveMicros
    kind: GrantKind
    priority: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)] | None = None
    effective_at: Time | None = None
    expires_at: Time | None = None
    products: Annotated[list[Id], Meta(min_length=1, max_length=1000)] | None = None
    metadata: Metadata | None = None


class AdjustmentBody(Message, frozen=True):
    """Exactly one of a signed amount and an amount to be available."""

    kind: Literal["refund", "credit_note", "correction"]
    note: Text
    amount_micros: SignedMicros | None = None
    set_available_micros: Micros | None = None


class CapBody(Identified, frozen=True):
    """Money allowed in a window."""

    level: Level
    window: WindowKind
    limit_micros: Micros
    target: Id | UnsetType | None = UNSET
    mode: Mode | UnsetType | None = UNSET
    products: Annotated[list[Id], Meta(min_length=1, max_length=1000)] | UnsetType | None = UNSET
    alert_at: (
        Annotated[list[Annotated[int, Meta(ge=1, le=1000)]], Meta(max_length=20)] | UnsetType | None
    ) = UNSET


class RateLimitBody(Identified, frozen=True):
    """Requests or tokens allowed in `window_s`, or holds open at once."""

    level: Level
    unit: LimitUnit
    limit: Count
    target: Id | UnsetType | None = UNSET
    window_s: Annotated[int, Meta(ge=1, le=31 * 86400)] | UnsetType | None = UNSET


class PlanCap(CapBody, frozen=True, kw_only=True):
    """A cap of a plan."""

    id: Name


class PlanRateLimit(RateLimitBody, frozen=True, kw_only=True):
    """A rate limit of a plan."""

    id: Name


class IncludedBody(Identified, frozen=True):
    """Quota that a plan includes in each period."""

    id: Name
    amount_micros: Micros
    period: Period
    products: Annotated[list[Id], Meta(min_length=1, max_length=1000)] | None = None
    rollover: bool | None = None


class PlanBody(Message, frozen=True):
    """A price plan: rate card, included quota, caps and rate limits."""

    rate_card: Name
    included: Annotated[list[IncludedBody], Meta(max_length=20)] | UnsetType | None = UNSET
    caps: Annotated[list[PlanCap], Meta(max_length=50)] | UnsetType | None = UNSET
    rate_limits: Annotated[list[PlanRateLimit], Meta(max_length=50)] | UnsetType | None = UNSET


class CardVersionBody(Identified, frozen=True):
    """An immutable version of a rate card: micro-units per million units."""

    effective_at: Time
    currency: Currency
    products: dict[Id, Prices]


class ContractProduct(Message, frozen=True):
    """Terms of a contract for one product."""

    discount_bps: Bps | None = None
    prices: Prices | None = None
    allowed: bool | None = None


class ContractBody(Identified, frozen=True):
    """A price version agreed for a time."""

    rate_card: Name
    version: Name
    starts_at: Time
    ends_at: Time | UnsetType | None = UNSET
    discount_bps: Bps | UnsetType | None = UNSET
    products: dict[Id, ContractProduct] | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class CredentialBody(Identified, frozen=True):
    """A credential for a service that calls."""

    name: Short
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=5)]
    org: Id | None = None
    expires_at: Time | None = None
    allowed_networks: Annotated[list[Short], Meta(min_length=1, max_length=50)] | None = None


class RotateBody(Message, frozen=True):
    """Time the former secret still works, in seconds (absent: not at all)."""

    overlap_s: Annotated[int, Meta(ge=0, le=2_592_000)] | None = None


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
