"""Bound what an org may create, so that the work of one request stays bounded.

Who is above a bound keeps what it has and cannot add to it.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.catalog.catalog import OrgTerms
from gateway.core.entities import Cap, MemberKind, PricePlan, RateLimit
from gateway.flows.accounts.services import AccountServices
from gateway.flows.shared.bounds import too_many

Limit = Cap | RateLimit
LEVELS = ("project", "user", "key", "run")


async def check_limits(
    services: AccountServices, terms: OrgTerms, plan: PricePlan, added: Limit
) -> None:
    """Raise CallerError where an org would have too many limits, or too many for one request."""
    settings = services.settings
    own = await services.catalog.limits(terms.org.id)
    others = [limit for limit in own if (type(limit), limit.id) != (type(added), added.id)]
    is_new = len(others) == len(own)
    if is_new and len(own) >= settings.most_limits:
        raise too_many("caps and rate limits of one org", settings.most_limits)
    _check_at_once(services, [*_of(plan), *own], [*_of(plan), *others, added])


async def check_change_of_plan(
    services: AccountServices, org: str, before: PricePlan | None, plan: PricePlan
) -> None:
    """Raise CallerError where a plan's limits are too many beside those that an org has."""
    own = await services.catalog.limits(org)
    if own and before is not None:
        _check_at_once(services, [*_of(before), *own], [*_of(plan), *own], "/plan")


async def check_plan(services: AccountServices, before: PricePlan, plan: PricePlan) -> None:
    """Raise CallerError where a plan has too many limits, alone or beside those of its orgs."""
    was, new = _of(before), _of(plan)
    _check_at_once(services, was, new)
    room = services.settings.most_limits_at_once - len(new)
    for org, own in (await services.catalog.limits_on_plan(plan.id, room + 1)).items():
        _check_at_once(services, [*was, *own], [*new, *own], of=f" of {org}")


def _of(plan: PricePlan) -> list[Limit]:
    return [*plan.caps, *plan.rate_limits]


def _check_at_once(
    services: AccountServices,
    before: list[Limit],
    after: list[Limit],
    pointer: str = "",
    of: str = "",
) -> None:
    """Raise CallerError if a change exceeds the bound; an org above it may keep what it has."""
    count = most_at_once(after)
    if count > services.settings.most_limits_at_once and count > most_at_once(before):
        raise too_many(
            f"caps and rate limits that apply to one request{of}",
            services.settings.most_limits_at_once,
            pointer,
            f"; this would make {count}",
        )


def most_at_once(limits: Iterable[Limit]) -> int:
    """Largest number of limits that apply to one request: the fullest target of each level."""
    shared, targeted = 0, {level: dict[str, int]() for level in LEVELS}
    for limit in limits:
        if limit.target is None:
            shared += 1
        else:
            of = targeted[limit.level]
            of[limit.target] = of.get(limit.target, 0) + 1
    return shared + sum(max(of.values(), default=0) for of in targeted.values())


async def check_members(services: AccountServices, org: str, kind: MemberKind) -> None:
    """Raise CallerError where an org may not register one more of its kind."""
    most = services.settings.most_members
    kinds = ("key",) if kind == "key" else ("project", "user")
    if await services.catalog.count_members(org, kinds) >= most:
        what = "keys" if kind == "key" else "projects and users"
        raise too_many(f"{what} of one org", most)
