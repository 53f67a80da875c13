"""How much of each kind an org may have: what is counted or looked at for each request is bounded.

Who is above a bound keeps what it has and cannot add to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.catalog.catalog import OrgTerms
from gateway.core.entities import Cap, MemberKind, PricePlan, RateLimit
from gateway.errors import CallerError
from gateway.flows.gateway import Gateway

Limit = Cap | RateLimit
LEVELS = ("project", "user", "key", "run")


def too_many(what: str, most: int, pointer: str = "") -> CallerError:
    """One more than there may be."""
    return CallerError("too_many", f"there may be {most:,} {what}", pointer=pointer)


async def check_limits(gateway: Gateway, terms: OrgTerms, plan: PricePlan, added: Limit) -> None:
    """Raise CallerError where an org would have too many limits, or too many for one request."""
    settings = gateway.settings
    own = await gateway.catalog.limits(terms.org.id)
    others = [limit for limit in own if (type(limit), limit.id) != (type(added), added.id)]
    is_new = len(others) == len(own)
    if is_new and len(own) >= settings.most_limits:
        raise too_many("caps and rate limits of one org", settings.most_limits)
    _check_at_once(gateway, [*_of(plan), *own], [*_of(plan), *others, added])


async def check_change_of_plan(
    gateway: Gateway, org: str, before: PricePlan | None, plan: PricePlan
) -> None:
    """Raise CallerError where a plan's limits are too many beside those that an org has."""
    own = await gateway.catalog.limits(org)
    if own and before is not None:
        _check_at_once(gateway, [*_of(before), *own], [*_of(plan), *own], "/plan")


async def check_plan(gateway: Gateway, before: PricePlan, plan: PricePlan) -> None:
    """Raise CallerError where a plan has too many limits, alone or beside those of its orgs."""
    was, new = _of(before), _of(plan)
    _check_at_once(gateway, was, new)
    room = gateway.settings.most_limits_at_once - len(new)
    for org, own in (await gateway.catalog.limits_on_plan(plan.id, room + 1)).items():
        _check_at_once(gateway, [*was, *own], [*new, *own], of=f" of {org}")


def _of(plan: PricePlan) -> list[Limit]:
    return [*plan.caps, *plan.rate_limits]


def _check_at_once(
    gateway: Gateway, before: list[Limit], after: list[Limit], pointer: str = "", of: str = ""
) -> None:
    """Who is above the bound keeps what there is, and adds nothing."""
    count = most_at_once(after)
    if count > gateway.settings.most_limits_at_once and count > most_at_once(before):
        raise too_many(
            f"caps and rate limits that apply to one request{of}; this would make {count}",
            gateway.settings.most_limits_at_once,
            pointer,
        )


def most_at_once(limits: Iterable[Limit]) -> int:
    """How many of these apply to one request at most: of each level the target with the most."""
    shared, targeted = 0, {level: dict[str, int]() for level in LEVELS}
    for limit in limits:
        if limit.target is None:
            shared += 1
        else:
            of = targeted[limit.level]
            of[limit.target] = of.get(limit.target, 0) + 1
    return shared + sum(max(of.values(), default=0) for of in targeted.values())


async def check_members(gateway: Gateway, org: str, kind: MemberKind) -> None:
    """Raise CallerError where an org may not register one more of its kind."""
    most = gateway.settings.most_members
    kinds = ("key",) if kind == "key" else ("project", "user")
    if await gateway.catalog.count_members(org, kinds) >= most:
        what = "keys" if kind == "key" else "projects and users"
        raise too_many(f"{what} of one org", most)


async def check_items(gateway: Gateway, name: str, digests: Sequence[str]) -> None:
    """Raise CallerError where these would be too many items of a list; changing one adds none."""
    most = gateway.settings.most_list_items
    added = len(set(digests)) - await gateway.lists.count(name, digests)
    if added and await gateway.lists.count(name) + added > most:
        raise too_many(f"items of the list {name}", most)
