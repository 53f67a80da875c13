"""Read orgs, members, limits, contracts, plans and rate cards: one, or page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.catalog.catalog import OrgTerms
from gateway.catalog.listing import LIMIT_KINDS
from gateway.core.entities import (
    Cap,
    CardVersion,
    Contract,
    Member,
    MemberKind,
    Org,
    PricePlan,
    RateLimit,
)
from gateway.errors import CallerError
from gateway.flows.accounts.services import AccountServices
from gateway.flows.shared.caller import Caller

T = TypeVar("T")
L = TypeVar("L", Cap, RateLimit)


@dataclass(frozen=True)
class Wanted:
    """The page to read: at most `limit` objects with an id after `after` ("": the first page)."""

    after: str
    limit: int


@dataclass(frozen=True)
class Page(Generic[T]):
    """Objects in the order of their ids, and the id the next page begins after (None: no more)."""

    items: list[T]
    next_after: str | None


def not_found(what: str) -> CallerError:
    """The error for an object that does not exist."""
    return CallerError("not_found", f"there is no {what}")


async def org_terms(services: AccountServices, org: str, caller: Caller) -> OrgTerms:
    """Find a created org with its contract and limits. Raises 404."""
    caller.check_org(org)
    found = await services.catalog.org(org)
    if found is None:
        raise not_found(f"org {org}")
    return found


async def orgs(services: AccountServices, wanted: Wanted, caller: Caller) -> Page[Org]:
    """List created orgs; a credential bound to one org sees that org alone."""
    bound = caller.credential.org
    if not bound:
        found = await services.listing.orgs(wanted.after, wanted.limit)
        return _page(found, [org.id for org in found], wanted)
    terms = None if wanted.after >= bound else await services.catalog.org(bound)
    return Page([] if terms is None else [terms.org], None)


async def members(
    services: AccountServices, org: str, kind: MemberKind, wanted: Wanted, caller: Caller
) -> Page[Member]:
    """List registered projects, users or keys of an org. Raises 404 without the org."""
    await org_terms(services, org, caller)
    found = await services.listing.members(org, kind, wanted.after, wanted.limit)
    return _page(found, [member.id for member in found], wanted)


async def member(
    services: AccountServices, org: str, kind: MemberKind, name: str, caller: Caller
) -> Member:
    """Find a registered project, user or key. Raises 404."""
    await org_terms(services, org, caller)
    found = await services.listing.member(org, kind, name)
    if found is None:
        raise not_found(f"{kind} {name}")
    return found


async def limits(
    services: AccountServices, kind: type[L], org: str, wanted: Wanted, caller: Caller
) -> Page[L]:
    """List an org's own caps or rate limits; those of its plan are in the plan."""
    await org_terms(services, org, caller)
    found = await services.listing.limits(kind, org, wanted.after, wanted.limit)
    return _page(found, [limit.id for limit in found], wanted)


async def limit(services: AccountServices, kind: type[L], org: str, name: str, caller: Caller) -> L:
    """Find an org's own cap or rate limit. Raises 404."""
    await org_terms(services, org, caller)
    found = await services.listing.limit(kind, org, name)
    if found is None:
        raise not_found(f"{LIMIT_KINDS[kind].replace('_', ' ')} {name}")
    return found


async def contract(services: AccountServices, org: str, caller: Caller) -> Contract:
    """Find the contract of an org. Raises 404."""
    found = (await org_terms(services, org, caller)).contract
    if found is None:
        raise not_found(f"contract of {org}")
    return found


async def plans(services: AccountServices, wanted: Wanted) -> Page[PricePlan]:
    """List plans."""
    found = await services.listing.plans(wanted.after, wanted.limit)
    return _page(found, [plan.id for plan in found], wanted)


async def plan(services: AccountServices, name: str) -> PricePlan:
    """Find a plan. Raises 404."""
    found = await services.catalog.plan(name)
    if found is None:
        raise not_found(f"plan {name}")
    return found


async def card_versions(services: AccountServices, card: str, wanted: Wanted) -> Page[CardVersion]:
    """List versions of a rate card."""
    found = await services.listing.card_versions(card, wanted.after, wanted.limit)
    return _page(found, [version.version for version in found], wanted)


async def card_version(services: AccountServices, card: str, version: str) -> CardVersion:
    """Find a version of a rate card. Raises 404."""
    found = await services.listing.card_version(card, version)
    if found is None:
        raise not_found(f"version {version} of rate card {card}")
    return found


def _page(found: list[T], ids: list[str], wanted: Wanted) -> Page[T]:
    return Page(found, ids[-1] if len(found) == wanted.limit else None)
