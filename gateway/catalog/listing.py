"""Read objects of the catalog one by one, and page by page in the order of their ids."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct, json
from sqlalchemy import Column, ColumnElement, Table, select

from gateway.catalog import schema as t
from gateway.catalog.tables import Tables
from gateway.core.entities import (
    Cap,
    CardVersion,
    Member,
    MemberKind,
    Org,
    PricePlan,
    RateCard,
    RateLimit,
)

S = TypeVar("S", bound=Struct)
L = TypeVar("L", Cap, RateLimit)

LIMIT_KINDS: dict[type[Cap] | type[RateLimit], str] = {Cap: "cap", RateLimit: "rate_limit"}
"""The `kind` column of each class of limits."""


class Listing(Tables):
    """Pages of at most `limit` objects with an id after `after` ("" begins), ordered by id.

    An object that exists during the whole listing is on exactly one page. Raises Unavailable.
    """

    async def orgs(self, after: str, limit: int) -> list[Org]:
        """Return created orgs."""
        return await self._page(Org, t.orgs, t.orgs.c.id, after, limit)

    async def plans(self, after: str, limit: int) -> list[PricePlan]:
        """Return plans."""
        return await self._page(PricePlan, t.plans, t.plans.c.id, after, limit)

    async def members(self, org: str, kind: MemberKind, after: str, limit: int) -> list[Member]:
        """Return registered members of one kind."""
        m = t.members.c
        return await self._page(Member, t.members, m.id, after, limit, m.org == org, m.kind == kind)

    async def member(self, org: str, kind: MemberKind, name: str) -> Member | None:
        """Return a registered member, or None."""
        m = t.members.c
        return await self._one(Member, t.members, m.org == org, m.kind == kind, m.id == name)

    async def limits(self, kind: type[L], org: str, after: str, limit: int) -> list[L]:
        """Return an org's own caps or rate limits."""
        of = t.limits.c
        where = (of.org == org, of.kind == LIMIT_KINDS[kind])
        return await self._page(kind, t.limits, of.id, after, limit, *where)

    async def limit(self, kind: type[L], org: str, name: str) -> L | None:
        """Return an org's own cap or rate limit, or None."""
        of = t.limits.c
        where = (of.org == org, of.kind == LIMIT_KINDS[kind], of.id == name)
        return await self._one(kind, t.limits, *where)

    async def cards(self, after: str, limit: int) -> list[RateCard]:
        """Return rate cards with their versions."""
        ids = select(t.rate_cards.c.id).where(t.rate_cards.c.id > after)
        ids = ids.order_by(t.rate_cards.c.id).limit(limit)
        v, found = t.card_versions.c, dict[str, list[CardVersion]]()
        async with self._read() as c:
            for name in await c.scalars(ids):
                found[name] = []
            query = select(v.card, v.spec).where(v.card.in_(found)).order_by(v.card, v.version)
            for card, spec in await c.execute(query):
                found[card].append(json.decode(spec, type=CardVersion))
        return [RateCard(name, 0, tuple(versions)) for name, versions in found.items()]

    async def card_versions(self, card: str, after: str, limit: int) -> list[CardVersion]:
        """Return versions of a rate card."""
        v = t.card_versions.c
        where = v.card == card
        return await self._page(CardVersion, t.card_versions, v.version, after, limit, where)

    async def card_version(self, card: str, version: str) -> CardVersion | None:
        """Return a version of a rate card, or None."""
        v = t.card_versions.c
        where = (v.card == card, v.version == version)
        return await self._one(CardVersion, t.card_versions, *where)

    async def _page(
        self,
        kind: type[S],
        table: Table,
        key: Column[str],
        after: str,
        limit: int,
        *where: ColumnElement[bool],
    ) -> list[S]:
        query = select(table.c.spec).where(*where).order_by(key).limit(limit)
        if after:
            query = query.where(key > after)
        async with self._read() as c:
            return [json.decode(spec, type=kind) for spec in await c.scalars(query)]

    async def _one(self, kind: type[S], table: Table, *where: ColumnElement[bool]) -> S | None:
        async with self._read() as c:
            spec = await c.scalar(select(table.c.spec).where(*where))
        return None if spec is None else json.decode(spec, type=kind)
