"""Cache org profiles and compiled terms; bounded, refreshed when stale.

An unknown org is planned as a free user without asking SQL; if it exists after all, the store's
fence makes the plan stale. So a million free users cost the catalog nothing.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.catalog.catalog import Catalog, OrgTerms
from gateway.core.commands import Version
from gateway.core.entities import Lineage, LineageTerms, Org, PricePlan, Profile, RateCard
from gateway.core.terms import Terms, compile_terms, versions_of
from gateway.errors import Unavailable
from gateway.flows.shared.versioned_change import catch_up
from gateway.store import keys
from gateway.store.port import Store
from gateway.wire import records

K = TypeVar("K")
V = TypeVar("V")

FREE_PLAN = "free"
TERMS_PER_ORG = 512
PATIENCE_S = 2.0
"""Time in s that a fence may be ahead of SQL before we finish the change that raised it."""


@dataclass
class _Entry:
    profile: Profile
    lineages: OrderedDict[Lineage, LineageTerms] = field(default_factory=OrderedDict)
    terms: OrderedDict[tuple[Lineage, str], Terms] = field(default_factory=OrderedDict)


class Profiles:
    """Profiles by org. `capacity` bounds how many stay in memory."""

    def __init__(self, catalog: Catalog, store: Store, capacity: int) -> None:
        self._catalog = catalog
        self._store = store
        self._capacity = capacity
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._plans: dict[str, PricePlan] = {}
        self._cards: dict[str, RateCard] = {}
        self._loading: dict[str, asyncio.Task[_Entry]] = {}
        self._behind_since: dict[str, float] = {}

    async def profile(self, org: str) -> Profile:
        """The profile of an org as last loaded."""
        return (await self._entry(org)).profile

    async def terms(self, lineage: Lineage, product: str, now_ms: int) -> Terms:
        """Compile terms for a lineage and product at a time of the store's clock (Unix ms)."""
        entry = self._entries.get(lineage.org) or await self._entry(lineage.org)
        found = entry.terms.get((lineage, product))
        if found is not None and _holds_at(found, now_ms):
            return found
        lineage_terms = await self._lineage(entry, lineage)
        found = records.seal(compile_terms(entry.profile, lineage_terms, product, now_ms))
        _remember(entry.terms, (lineage, product), found, TERMS_PER_ORG)
        return found

    async def lineage(self, lineage: Lineage) -> tuple[Profile, LineageTerms]:
        """The profile and what the catalog says of a lineage."""
        entry = await self._entry(lineage.org)
        return entry.profile, await self._lineage(entry, lineage)

    async def _lineage(self, entry: _Entry, lineage: Lineage) -> LineageTerms:
        found = entry.lineages.get(lineage)
        if found is None:
            if entry.profile.is_free:
                found = LineageTerms(lineage)
            else:
                found = await self._catalog.lineage(lineage)
            _remember(entry.lineages, lineage, found, TERMS_PER_ORG)
        return found

    async def _entry(self, org: str) -> _Entry:
        entry = self._entries.get(org)
        if entry is None:
            entry = _Entry(await self._assemble(None, org, 0, ()))
            _remember(self._entries, org, entry, self._capacity)
        else:
            self._entries.move_to_end(org)
        return entry

    async def refresh(self, org: str, found: tuple[int, ...]) -> None:
        """Load an org anew after a STALE that found these versions in the store."""
        task = self._loading.get(org)
        if task is None:
            task = asyncio.create_task(self._load(org, found))
            self._loading[org] = task
            task.add_done_callback(lambda _: self._loading.pop(org, None))
        await asyncio.shield(task)

    async def without_store(self, org: str) -> Profile:
        """Load a profile without the store: grants may be missing."""
        entry = self._entries.get(org)
        if entry is not None and not entry.profile.is_free:
            return entry.profile
        return await self._assemble(await self._catalog.org(org), org, 0, ())

    async def load(self, org: str) -> Profile:
        """An org's profile with every part read anew from catalog and store."""
        terms = await self._catalog.org(org)
        plan_id = terms.org.plan if terms else FREE_PLAN
        self._plans.pop(plan_id, None)
        self._cards.pop((await self._plan(plan_id)).rate_card, None)
        return (await self._load(org, ())).profile

    async def _load(self, org: str, found: tuple[int, ...]) -> _Entry:
        before = self._entries.get(org)
        expected = versions_of(before.profile) if before else ()
        changed = {
            v.kind for v, number in zip(expected, found, strict=False) if v.expected != number
        }
        if before is not None and "plan" in changed:
            self._plans.pop(before.profile.plan.id, None)
        if before is not None and "card" in changed:
            self._cards.pop(before.profile.card.id, None)
        terms = await self._catalog.org(org)
        # Grants are read last: a version that is older than its grants only makes us ask again.
        grants_version, grants = await self._store.grants(org) if terms else (0, [])
        profile = await self._assemble(terms, org, grants_version, tuple(grants))
        entry = _Entry(profile)
        _remember(self._entries, org, entry, self._capacity)
        await self._settle_fences(
            profile, dict(zip((v.kind for v in expected), found, strict=False))
        )
        return entry

    async def _assemble(
        self,
        terms: OrgTerms | None,
        org: str,
        grants_version: int,
        grants: tuple[tuple[bytes, int], ...],
    ) -> Profile:
        plan = await self._plan(terms.org.plan if terms else FREE_PLAN)
        card = await self._card(plan.rate_card)
        if terms is None:
            return Profile(Org(org, plan.id), plan, card)
        contract, pinned = terms.contract, None
        if contract is not None:
            pinned = await self._card(contract.rate_card)
            if all(v.version != contract.version for v in pinned.versions):
                # Versions never change, but this view may be older than the one that is pinned.
                self._cards.pop(contract.rate_card)
                pinned = await self._card(contract.rate_card)
        given = tuple(records.decode_grant(meta) for meta, left in grants if left > 0)
        return Profile(
            terms.org,
            plan,
            card,
            pinned,
            contract,
            given,
            grants_version,
            terms.caps,
            terms.rate_limits,
            terms.has_keys,
        )

    async def _plan(self, plan_id: str) -> PricePlan:
        plan = self._plans.get(plan_id)
        if plan is None:
            plan = await self._catalog.plan(plan_id)
            if plan is None:
                raise Unavailable("plan_missing", f"the plan {plan_id} is not in the catalog")
            self._plans[plan_id] = plan
        return plan

    async def _card(self, card_id: str) -> RateCard:
        card = self._cards.get(card_id)
        if card is None:
            card = self._cards[card_id] = await self._catalog.card(card_id)
        return card

    async def _settle_fences(self, profile: Profile, found: dict[str, int]) -> None:
        """Bring store and SQL to the same versions, or wait for the change that is under way."""
        org = profile.org.id
        waits = False
        for version in versions_of(profile):
            fenced = found.get(version.kind)
            if version.kind == "grants" or fenced is None or fenced == version.expected:
                continue
            if fenced < version.expected:
                await self._store.fence(version, (keys.shard_of(org),))
            else:
                waits = True
                await self._wait_or_catch_up(org, profile, version, fenced)
        if not waits:
            self._behind_since.pop(org, None)

    async def _wait_or_catch_up(
        self, org: str, profile: Profile, version: Version, fenced: int
    ) -> None:
        loop = asyncio.get_running_loop()
        since = self._behind_since.setdefault(org, loop.time())
        if loop.time() - since < PATIENCE_S:
            await asyncio.sleep(0.005)
            return
        # Whoever fenced this version died before the commit: commit a change of nothing.
        self._behind_since.pop(org, None)
        await catch_up(self._catalog, profile, version, fenced)


def _holds_at(terms: Terms, now_ms: int) -> bool:
    return terms.needs.valid_from_ms <= now_ms < terms.needs.valid_until_ms


def _remember(cache: OrderedDict[K, V], key: K, value: V, capacity: int) -> None:
    cache[key] = value
    cache.move_to_end(key)
    while len(cache) > capacity:
        cache.popitem(last=False)
