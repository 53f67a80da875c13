"""Read orgs, members, limits, contracts, plans and rate cards: one, or page by page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

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
    RateCard,
    RateLimit,
)
from gateway.errors import CallerError
from gateway.flows.accounts.services import AccountServices
from gateway.flows.shared.caller import Caller

T = TypeVar("T")
L = TypeVar("L", Cap, RateLimit)
N = TypeVar("N", Org, Member)


SCANNED = 5_000
"""Objects that one call looks through for those it wants; the next page goes on after them."""


@dataclass(frozen=True)
class Wanted:
    """The page to read: at most `limit` objects with an id after `after` ("": the first page).

    `fields` and `metadata` select those whose fields and metadata have these values.
    """

    after: str
    limit: int
    fields: tuple[tuple[str, str], ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()

    def selects(self, found: Any) -> bool:
        """Return whether an object has the wanted values."""
        return all(getattr(found, name) == value for name, value in self.fields) and all(
            found.metadata.get(name) == value for name, value in self.metadata
        )


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
        return await _selected(wanted, services.listing.orgs)
    terms = None if wanted.after >= bound else await services.catalog.org(bound)
    return Page([terms.org] if terms is not None and wanted.selects(terms.org) else [], None)


async def members(
    services: AccountServices, org: str, kind: MemberKind, wanted: Wanted, caller: Caller
) -> Page[Member]:
    """List registered projects, users or keys of an org. Raises 404 without the org."""
    await org_terms(services, org, caller)

    async def read(after: str, limit: int) -> list[Member]:
        return await services.listing.members(org, kind, after, limit)

    return await _selected(wanted, read)


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


async def cards(services: AccountServices, wanted: Wanted) -> Page[RateCard]:
    """List rate cards."""
    found = await services.listing.cards(wanted.after, wanted.limit)
    return _page(found, [card.id for card in found], wanted)


async def card(services: AccountServices, name: str) -> RateCard:
    """Find a rate card. Raises 404."""
    found = await services.catalog.card(name)
    if not found.versions:
        raise not_found(f"rate card {name}")
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


async def _selected(wanted: Wanted, read: Callable[[str, int], Awaitable[list[N]]]) -> Page[N]:
    """Look through objects in the order of their ids until a page is full.

    A page may have fewer objects than its limit, or none, and still not be the last.
    """
    items: list[N] = []
    after, scanned = wanted.after, 0
    while True:
        found = await read(after, wanted.limit)
        for one in found:
            after = one.id
            if wanted.selects(one):
                items.append(one)
                if len(items) == wanted.limit:
                    return Page(items, after)
        scanned += len(found)
        if len(found) < wanted.limit:
            return Page(items, None)
        if scanned >= SCANNED:
            return Page(items, after)


def _page(found: list[T], ids: list[str], wanted: Wanted) -> Page[T]:
    return Page(found, ids[-1] if len(found) == wanted.limit else None)
