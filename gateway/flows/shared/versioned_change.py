"""Make an admin change binding for the next decision: fence, commit, answer.

The fence makes every plan of the version before stale, on every worker. Until the commit, their
loaders wait; if the commit never comes, they commit a change of nothing at the fence's number.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from gateway.catalog.catalog import Catalog, OrgTerms, VersionConflict
from gateway.core.audit import AuditEntry
from gateway.core.commands import Version
from gateway.core.entities import PricePlan, Profile, RateCard
from gateway.errors import Unavailable
from gateway.store import keys
from gateway.store.port import Store

ATTEMPTS = 20
ALL_SHARDS = tuple(range(keys.SHARDS))

Commit = Callable[[int], Awaitable[None]]
"""Commits a change at the version number it is given."""


async def change_org(
    catalog: Catalog,
    store: Store,
    org: str,
    prepare: Callable[[OrgTerms | None], Awaitable[Commit | None]],
) -> bool:
    """Change an org; whether anything had to change.

    `prepare` checks the change against what is there (raising CallerError, before anything is
    touched) and returns its commit, or None when there is nothing to do.
    """
    for _ in range(ATTEMPTS):
        terms = await catalog.org(org)
        commit = await prepare(terms)
        if commit is None:
            return False
        version = terms.org.version if terms else 0
        number = await store.fence(Version("org", org, version + 1), (keys.shard_of(org),))
        try:
            await commit(number)
            return True
        except VersionConflict:
            continue
    raise Unavailable("too_many_changes", f"the org {org} is being changed by others; try again")


async def change_plan(
    catalog: Catalog,
    store: Store,
    name: str,
    prepare: Callable[[PricePlan | None], Awaitable[tuple[PricePlan, AuditEntry]]],
) -> PricePlan:
    """Create or change a plan for every org on it; as it is then.

    `prepare` makes and checks it, and describes the change for the audit log.
    """
    for _ in range(ATTEMPTS):
        before = await catalog.plan(name)
        version = before.version if before else 0
        plan, entry = await prepare(before)
        if before is not None and replace(plan, version=version) == before:
            return plan
        number = await store.fence(Version("plan", name, version + 1), ALL_SHARDS)
        try:
            await catalog.put_plan(replace(plan, version=number), version, entry)
            return plan
        except VersionConflict:
            continue
    raise Unavailable("too_many_changes", f"the plan {name} is being changed by others")


async def change_card(
    catalog: Catalog,
    store: Store,
    card: str,
    prepare: Callable[[RateCard], Commit | None],
) -> None:
    """Add a version to a rate card. `prepare` as for change_org."""
    for _ in range(ATTEMPTS):
        before = await catalog.card(card)
        commit = prepare(before)
        if commit is None:
            return
        number = await store.fence(Version("card", card, before.changes + 1), ALL_SHARDS)
        try:
            await commit(number)
            return
        except VersionConflict:
            continue
    raise Unavailable("too_many_changes", f"the rate card {card} is being changed by others")


async def catch_up(catalog: Catalog, profile: Profile, version: Version, number: int) -> None:
    """Raise a version in SQL to a fence whose change was never committed."""
    try:
        if version.kind == "org" and not profile.is_free:
            org = replace(profile.org, version=number)
            await catalog.touch_org(org, version.expected)
        elif version.kind == "plan":
            plan = replace(profile.plan, version=number)
            await catalog.put_plan(plan, version.expected)
        elif version.kind == "card":
            await catalog.put_card_version(version.id, None, version.expected, number)
    except VersionConflict:
        return
