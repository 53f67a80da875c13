"""Answers about orgs, members, limits, grants and prices."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType, convert, field

from gateway.core.entities import (
    Cap,
    CardVersion,
    Contract,
    Grant,
    Member,
    Org,
    PricePlan,
    ProductTerms,
    RateCard,
    RateLimit,
)
from gateway.wire.answers.base import Answer, rfc3339

NOT_DELIVERED = "not delivered yet"


class OutagePart(Answer):
    """Amount the org may spend in a minute while the store does not answer."""

    policy: Literal["closed", "open"]
    max_open_micros: int


class OrgAnswer(Answer):
    """An org."""

    id: str
    plan: str
    name: str
    type: str
    currency: str
    credit_line_micros: int
    timezone: str
    country: str | None
    status: str
    outage: OutagePart
    created_at: str
    metadata: dict[str, str]


class MemberAnswer(Answer):
    """A project or user."""

    id: str
    name: str
    status: str
    metadata: dict[str, str]


class KeyAnswer(MemberAnswer):
    """A key, the project and user it belongs to, and its end."""

    project: str | None
    user: str | None
    expires_at: str | None


class CapAnswer(Answer):
    """A cap: of money (`limit_micros`) or of `units` (`limit`), in a `window` or any `window_s`."""

    id: str
    level: str
    window: str | None
    window_s: int | None
    limit_micros: int | None
    units: list[str] | None
    limit: int | None
    mode: str
    target: str | None
    products: list[str] | None
    alert_at: list[int]
    alerts: str | UnsetType = UNSET
    """State of the alerts that `alert_at` asks for; absent without it."""


class RateLimitAnswer(Answer):
    """A rate limit: of one `unit`, or of the sum of some `units`."""

    id: str
    level: str
    unit: str | None
    units: list[str] | None
    limit: int
    window_s: int
    target: str | None


class ContractAnswer(Answer):
    """A contract."""

    rate_card: str
    version: str
    starts_at: str
    ends_at: str | None
    discount_bps: int
    products: dict[str, ProductTerms]
    metadata: dict[str, str]


class GrantShown(Answer):
    """A grant, and what is left of it."""

    id: str
    kind: str
    amount_micros: int
    remaining_micros: int
    status: str
    priority: int
    created_at: str
    effective_at: str | None
    expires_at: str | None
    products: list[str] | None
    metadata: dict[str, str]
    for_: dict[str, str] | None = field(name="for")


class IncludedAnswer(Answer):
    """Included quota."""

    id: str
    amount_micros: int
    period: str
    products: list[str] | None
    rollover: bool


class PlanAnswer(Answer):
    """A plan."""

    id: str
    rate_card: str
    included: list[IncludedAnswer]
    caps: list[CapAnswer]
    rate_limits: list[RateLimitAnswer]


class CardVersionAnswer(Answer):
    """A version of a rate card."""

    rate_card: str
    version: str
    effective_at: str
    currency: str
    products: dict[str, dict[str, int]]


class RateCardAnswer(Answer):
    """A rate card, its currency and the names of its versions; each version has the prices."""

    id: str
    currency: str | None
    versions: list[str]


def time_or_none(ms: int | None) -> str | None:
    """Format a time (Unix ms); None and 0 mean that there is none."""
    return rfc3339(ms) if ms else None


def org_answer(org: Org) -> OrgAnswer:
    """Present an org."""
    most = org.open_micros
    return OrgAnswer(
        id=org.id,
        plan=org.plan,
        name=org.name,
        type=org.type,
        currency=org.currency,
        credit_line_micros=org.credit_line_micros,
        timezone=org.timezone,
        country=org.country or None,
        status=org.status,
        outage=OutagePart(policy="open" if most else "closed", max_open_micros=most),
        created_at=rfc3339(org.created_ms),
        metadata=org.metadata,
    )


def member_answer(member: Member) -> MemberAnswer:
    """Present a project or user."""
    return convert(member, MemberAnswer, from_attributes=True)


def key_answer(member: Member) -> KeyAnswer:
    """Present a key."""
    return KeyAnswer(
        id=member.id,
        name=member.name,
        status=member.status,
        metadata=member.metadata,
        project=member.project,
        user=member.user,
        expires_at=None if member.expires_ms is None else rfc3339(member.expires_ms),
    )


def cap_answer(cap: Cap) -> CapAnswer:
    """Present a cap."""
    return CapAnswer(
        id=cap.id,
        level=cap.level,
        window=cap.window,
        window_s=cap.window_s or None,
        limit_micros=None if cap.units else cap.limit_micros,
        units=list(cap.units) or None,
        limit=cap.limit if cap.units else None,
        mode=cap.mode,
        target=cap.target,
        products=list(cap.products) if cap.products else None,
        alert_at=list(cap.alert_at),
        alerts=NOT_DELIVERED if cap.alert_at else UNSET,
    )


def rate_limit_answer(limit: RateLimit) -> RateLimitAnswer:
    """Present a rate limit."""
    return RateLimitAnswer(
        id=limit.id,
        level=limit.level,
        unit=None if limit.units else limit.unit,
        units=list(limit.units) or None,
        limit=limit.limit,
        window_s=limit.window_s,
        target=limit.target,
    )


def for_whom(grant: Grant) -> dict[str, str] | None:
    """Name whom alone a grant pays for; None for the whole org."""
    return {grant.level: grant.target} if grant.level else None


def grant_shown(grant: Grant, remaining: int, status: str) -> GrantShown:
    """Present a grant, what is left of it (micros), and its status."""
    return GrantShown(
        id=grant.id,
        kind=grant.kind,
        amount_micros=grant.amount_micros,
        remaining_micros=remaining,
        status=status,
        priority=grant.priority,
        created_at=rfc3339(grant.created_ms),
        effective_at=time_or_none(grant.effective_ms),
        expires_at=time_or_none(grant.expires_ms),
        products=list(grant.products) if grant.products else None,
        metadata=grant.metadata,
        for_=for_whom(grant),
    )


def contract_answer(contract: Contract) -> ContractAnswer:
    """Present a contract."""
    return ContractAnswer(
        rate_card=contract.rate_card,
        version=contract.version,
        starts_at=rfc3339(contract.starts_ms),
        ends_at=None if contract.ends_ms is None else rfc3339(contract.ends_ms),
        discount_bps=contract.discount_bps,
        products=contract.products,
        metadata=contract.metadata,
    )


def plan_answer(plan: PricePlan) -> PlanAnswer:
    """Present a plan."""
    return PlanAnswer(
        id=plan.id,
        rate_card=plan.rate_card,
        included=[convert(one, IncludedAnswer, from_attributes=True) for one in plan.included],
        caps=[cap_answer(cap) for cap in plan.caps],
        rate_limits=[rate_limit_answer(limit) for limit in plan.rate_limits],
    )


def rate_card_answer(card: RateCard) -> RateCardAnswer:
    """Present a rate card."""
    names = [version.version for version in card.versions]
    currency = card.versions[0].currency if card.versions else None
    return RateCardAnswer(id=card.id, currency=currency, versions=names)


def card_version_answer(card: str, version: CardVersion) -> CardVersionAnswer:
    """Present a version of a rate card."""
    return CardVersionAnswer(
        rate_card=card,
        version=version.version,
        effective_at=rfc3339(version.effective_ms),
        currency=version.currency,
        products=version.products,
    )


TAGGED = frozenset(
    {
        OrgAnswer,
        MemberAnswer,
        KeyAnswer,
        CapAnswer,
        RateLimitAnswer,
        ContractAnswer,
        PlanAnswer,
        CardVersionAnswer,
    }
)
"""Answers that show one object which a PUT or PATCH changes: they carry an entity tag."""
