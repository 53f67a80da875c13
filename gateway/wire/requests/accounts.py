"""Bodies that set orgs, members, limits, prices, funds and credentials.

What a PUT leaves out (UNSET) keeps its value on what exists; null sets it to its default. What has
no default must be given where the object does not exist yet.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from gateway.core.entities import GrantKind, Level, Mode, OrgType, Period, Status, WindowKind
from gateway.wire.fields import (
    Bps,
    Count,
    Country,
    Currency,
    Metadata,
    Micros,
    PositiveMicros,
    Prices,
    RateUnit,
    Scope,
    Short,
    SignedMicros,
    Text,
    Time,
    Units,
    WindowS,
)
from gateway.wire.ids import Id, Identified, Message, Name


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


class ForBody(Identified, frozen=True):
    """The one project, user or key that a grant pays for."""

    project: Id | None = None
    user: Id | None = None
    key: Id | None = None


class GrantBody(Identified, frozen=True):
    """Credit for an org, or for one of its projects, users or keys."""

    amount_micros: PositiveMicros
    kind: GrantKind
    priority: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)] | None = None
    effective_at: Time | None = None
    expires_at: Time | None = None
    products: Annotated[list[Id], Meta(min_length=1, max_length=1000)] | None = None
    metadata: Metadata | None = None
    for_: ForBody | None = field(default=None, name="for")


class AdjustmentBody(Message, frozen=True):
    """Exactly one of a signed amount and an amount to be available."""

    kind: Literal["refund", "credit_note", "correction"]
    note: Text
    amount_micros: SignedMicros | None = None
    set_available_micros: Micros | None = None


class CapBody(Identified, frozen=True):
    """Money, or `limit` of some units, allowed in a window of the calendar or of `window_s`."""

    level: Level | UnsetType = UNSET
    window: WindowKind | UnsetType | None = UNSET
    window_s: WindowS | UnsetType | None = UNSET
    limit_micros: Micros | UnsetType | None = UNSET
    units: Units | UnsetType | None = UNSET
    limit: Count | UnsetType | None = UNSET
    target: Id | UnsetType | None = UNSET
    mode: Mode | UnsetType | None = UNSET
    products: Annotated[list[Id], Meta(min_length=1, max_length=1000)] | UnsetType | None = UNSET
    alert_at: (
        Annotated[list[Annotated[int, Meta(ge=1, le=1000)]], Meta(max_length=20)] | UnsetType | None
    ) = UNSET


class RateLimitBody(Identified, frozen=True):
    """Requests, tokens or some units allowed in `window_s`, or holds open at once."""

    level: Level | UnsetType = UNSET
    limit: Count | UnsetType = UNSET
    unit: RateUnit | UnsetType | None = UNSET
    units: Units | UnsetType | None = UNSET
    target: Id | UnsetType | None = UNSET
    window_s: WindowS | UnsetType | None = UNSET


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

    rate_card: Name | UnsetType = UNSET
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

    rate_card: Name | UnsetType = UNSET
    version: Name | UnsetType = UNSET
    starts_at: Time | UnsetType = UNSET
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
