"""Read and change orgs, members, limits, plans and rate cards.

A change names the version that it was made from. A change of an older version is refused, so two
administrators never overwrite each other's work unseen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec import Struct, json
from sqlalchemy import Table, and_, delete, exists, func, insert, or_, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.catalog import schema as t
from gateway.catalog.audit import append
from gateway.catalog.tables import Tables
from gateway.core.audit import AuditEntry
from gateway.core.entities import (
    Cap,
    CardVersion,
    Contract,
    Lineage,
    LineageTerms,
    Member,
    MemberKind,
    Org,
    PricePlan,
    RateCard,
    RateLimit,
)

S = TypeVar("S", bound=Struct)

NOBODY = ""
"""The `target` of a limit that applies to every member of its level separately."""


class VersionConflict(Exception):
    """Another change was committed first: read the current version, then change that."""


@dataclass(frozen=True)
class OrgTerms:
    """An org with its contract and untargeted limits; `has_keys` says if it registered any key."""

    org: Org
    contract: Contract | None
    caps: tuple[Cap, ...]
    rate_limits: tuple[RateLimit, ...]
    has_keys: bool


def _load(kind: type[S], spec: bytes) -> S:
    return json.decode(spec, type=kind)


class Catalog(Tables):
    """Tables of customers and prices. A change of an old version raises VersionConflict.

    Each change adds `audit` to the audit log in its own transaction.
    """

    @asynccontextmanager
    async def _write(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with super()._write() as connection:
                yield connection
        except IntegrityError as error:
            raise VersionConflict from error

    async def org(self, org: str) -> OrgTerms | None:
        """Return an org with its contract and untargeted limits, or None if it does not exist."""
        async with self._read() as c:
            row = (await c.execute(select(t.orgs).where(t.orgs.c.id == org))).first()
            if row is None:
                return None
            signed = await c.scalar(select(t.contracts.c.spec).where(t.contracts.c.org == org))
            of = select(t.limits.c.kind, t.limits.c.spec).where(t.limits.c.org == org)
            limits = (await c.execute(of.where(t.limits.c.target == NOBODY))).all()
            registered = exists().where(t.members.c.org == org, t.members.c.kind == "key")
            has_keys = bool(await c.scalar(select(registered)))
        caps, rates = _split_limits(limits)
        found = _load(Org, row.spec)
        has_keys = has_keys or found.had_keys
        return OrgTerms(found, _load(Contract, signed) if signed else None, caps, rates, has_keys)

    async def lineage(self, lineage: Lineage) -> LineageTerms:
        """Return the registered members of a lineage, and the limits that target them.

        A registered key fills in the project and user that the caller left out.
        """
        org = lineage.org
        async with self._read() as c:
            found: dict[str, Member] = {}
            if lineage.key:
                found |= await _members(c, org, {"key": lineage.key})
                key = found.get("key")
                if key is not None:
                    lineage = Lineage(
                        org,
                        lineage.project or key.project or "",
                        lineage.user or key.user or "",
                        lineage.key,
                        lineage.run,
                    )
            found |= await _members(c, org, {"project": lineage.project, "user": lineage.user})
            targets = [
                and_(t.limits.c.level == level, t.limits.c.target == target)
                for level in ("project", "user", "key", "run")
                if (target := getattr(lineage, level))
            ]
            rows: Sequence[Any] = []
            if targets:
                of = select(t.limits.c.kind, t.limits.c.spec).where(t.limits.c.org == org)
                rows = (await c.execute(of.where(or_(*targets)))).all()
        caps, rates = _split_limits(rows)
        return LineageTerms(lineage, tuple(found.values()), caps, rates)

    async def plan(self, plan: str) -> PricePlan | None:
        """Return a price plan by id, or None."""
        async with self._read() as c:
            row = (await c.execute(select(t.plans).where(t.plans.c.id == plan))).first()
        return None if row is None else _load(PricePlan, row.spec)

    async def card(self, card: str) -> RateCard:
        """Return a rate card with all its versions; it has no versions if it was never created."""
        async with self._read() as c:
            changes = await c.scalar(
                select(t.rate_cards.c.changes).where(t.rate_cards.c.id == card)
            )
            of = select(t.card_versions.c.spec).where(t.card_versions.c.card == card)
            specs = (await c.scalars(of.order_by(t.card_versions.c.version))).all()
        return RateCard(card, changes or 0, tuple(_load(CardVersion, spec) for spec in specs))

    async def member(self, org: str, kind: MemberKind, member: str) -> Member | None:
        """Return a registered member by kind and id, or None."""
        async with self._read() as c:
            return (await _members(c, org, {kind: member})).get(kind)

    async def limit(self, org: str, kind: str, limit: str) -> Cap | RateLimit | None:
        """Return an org's own cap (`kind` "cap") or rate limit ("rate_limit") by id, or None."""
        of = select(t.limits.c.kind, t.limits.c.spec).where(
            t.limits.c.org == org, t.limits.c.kind == kind, t.limits.c.id == limit
        )
        async with self._read() as c:
            caps, rates = _split_limits((await c.execute(of)).all())
        if caps:
            return caps[0]
        return rates[0] if rates else None

    async def limits(self, org: str) -> list[Cap | RateLimit]:
        """Return all of an org's own caps, then its rate limits, each sorted by id."""
        of = select(t.limits.c.kind, t.limits.c.spec).where(t.limits.c.org == org)
        async with self._read() as c:
            caps, rates = _split_limits((await c.execute(of)).all())
        return [*caps, *rates]

    async def limits_on_plan(self, plan: str, at_least: int) -> dict[str, list[Cap | RateLimit]]:
        """Return, by org, the own limits of a plan's orgs that have at least `at_least` of them."""
        of, limits = t.limits.c, t.limits.join(t.orgs, t.orgs.c.id == t.limits.c.org)
        on_plan = select(of.org).select_from(limits).where(t.orgs.c.plan == plan)
        many = on_plan.group_by(of.org).having(func.count() >= at_least)
        found: dict[str, list[Cap | RateLimit]] = {}
        async with self._read() as c:
            rows = select(of.org, of.kind, of.spec).where(of.org.in_(many))
            for row in await c.execute(rows):
                caps, rates = _split_limits([row])
                found.setdefault(row.org, []).extend([*caps, *rates])
        return found

    async def count_members(self, org: str, kinds: Sequence[str]) -> int:
        """Count an org's registered members of these kinds."""
        of = t.members.c
        query = select(func.count()).select_from(t.members)
        async with self._read() as c:
            found = await c.scalar(query.where(of.org == org, of.kind.in_(kinds)))
        return int(found or 0)

    async def targeted_caps(self, org: str) -> tuple[Cap, ...]:
        """Return the caps of an org that name a target, at most 1000."""
        of = select(t.limits.c.kind, t.limits.c.spec).where(
            t.limits.c.org == org, t.limits.c.kind == "cap", t.limits.c.target != NOBODY
        )
        async with self._read() as c:
            return _split_limits((await c.execute(of.limit(1000))).all())[0]

    async def org_ids(self, after: str, limit: int) -> list[str]:
        """Return at most `limit` org ids greater than `after`, in order."""
        async with self._read() as c:
            of = select(t.orgs.c.id).where(t.orgs.c.id > after).order_by(t.orgs.c.id)
            return list((await c.scalars(of.limit(limit))).all())

    async def org_versions(self, after: str, limit: int) -> list[tuple[str, int]]:
        """Return at most `limit` org ids greater than `after` with their versions, in order."""
        async with self._read() as c:
            of = select(t.orgs.c.id, t.orgs.c.version).where(t.orgs.c.id > after)
            rows = (await c.execute(of.order_by(t.orgs.c.id).limit(limit))).all()
        return [(row.id, row.version) for row in rows]

    async def has_org_on_plan(self, plan: str, currency: str) -> bool:
        """Return whether an org in another currency than `currency` is on the plan."""
        async with self._read() as c:
            for spec in await c.scalars(select(t.orgs.c.spec).where(t.orgs.c.plan == plan)):
                if _load(Org, spec).currency != currency:
                    return True
        return False

    async def put_org(self, org: Org, from_version: int, audit: AuditEntry | None = None) -> None:
        """Create (from version 0) or replace an org. Raises VersionConflict."""
        values = {"version": org.version, "plan": org.plan, "spec": json.encode(org)}
        async with self._write() as c:
            if from_version == 0:
                await c.execute(insert(t.orgs).values(id=org.id, **values))
            else:
                await _bump(c, t.orgs, org.id, from_version, values)
            await append(c, audit)

    async def put_contract(
        self, org: Org, from_version: int, contract: Contract, audit: AuditEntry
    ) -> None:
        """Replace an org's contract. Raises VersionConflict."""
        async with self._org_change(org, from_version, audit) as c:
            key = {"org": org.id}
            await _replace(c, t.contracts, key, {"spec": json.encode(contract)})

    async def put_member(
        self, org: Org, from_version: int, member: Member, audit: AuditEntry
    ) -> None:
        """Register or change a member of an org. Raises VersionConflict."""
        key = {"org": org.id, "kind": member.kind, "id": member.id}
        async with self._org_change(org, from_version, audit) as c:
            await _replace(c, t.members, key, {"spec": json.encode(member)})

    async def delete_member(
        self, org: Org, from_version: int, member: Member, audit: AuditEntry
    ) -> None:
        """Delete a registered member of an org. Raises VersionConflict."""
        m = t.members.c
        async with self._org_change(org, from_version, audit) as c:
            where = (m.org == org.id, m.kind == member.kind, m.id == member.id)
            await c.execute(delete(t.members).where(*where))

    async def put_limit(
        self, org: Org, from_version: int, limit: Cap | RateLimit, audit: AuditEntry
    ) -> None:
        """Create or replace a cap or rate limit of an org. Raises VersionConflict."""
        kind = "cap" if isinstance(limit, Cap) else "rate_limit"
        values = {
            "level": limit.level,
            "target": limit.target or NOBODY,
            "spec": json.encode(limit),
        }
        async with self._org_change(org, from_version, audit) as c:
            await _replace(c, t.limits, {"org": org.id, "kind": kind, "id": limit.id}, values)

    async def delete_limit(
        self, org: Org, from_version: int, kind: str, limit: str, audit: AuditEntry
    ) -> None:
        """Delete a cap or rate limit of an org. Raises VersionConflict."""
        async with self._org_change(org, from_version, audit) as c:
            await c.execute(
                delete(t.limits).where(
                    t.limits.c.org == org.id, t.limits.c.kind == kind, t.limits.c.id == limit
                )
            )

    async def touch_org(self, org: Org, from_version: int) -> None:
        """Raise an org's version to that of a fence and change nothing else."""
        async with self._org_change(org, from_version):
            pass

    @asynccontextmanager
    async def _org_change(
        self, org: Org, from_version: int, audit: AuditEntry | None = None
    ) -> AsyncIterator[AsyncConnection]:
        values = {"version": org.version, "plan": org.plan, "spec": json.encode(org)}
        async with self._write() as c:
            await _bump(c, t.orgs, org.id, from_version, values)
            yield c
            await append(c, audit)

    async def put_plan(
        self, plan: PricePlan, from_version: int, audit: AuditEntry | None = None
    ) -> None:
        """Create (from version 0) or replace a plan. Raises VersionConflict."""
        values = {"version": plan.version, "spec": json.encode(plan)}
        async with self._write() as c:
            if from_version == 0:
                await c.execute(insert(t.plans).values(id=plan.id, **values))
            else:
                await _bump(c, t.plans, plan.id, from_version, values)
            await append(c, audit)

    async def put_card_version(
        self,
        card: str,
        version: CardVersion | None,
        from_changes: int,
        to_changes: int,
        audit: AuditEntry | None = None,
    ) -> None:
        """Add an immutable version to a rate card. Raises VersionConflict.

        With `version` None it only raises the card's change count to that of a fence.
        """
        async with self._write() as c:
            if from_changes == 0:
                await c.execute(insert(t.rate_cards).values(id=card, changes=to_changes))
            else:
                where = (t.rate_cards.c.id == card, t.rate_cards.c.changes == from_changes)
                done = await c.execute(
                    update(t.rate_cards).where(*where).values(changes=to_changes)
                )
                if done.rowcount != 1:
                    raise VersionConflict
            if version is not None:
                spec = json.encode(version)
                values = {"card": card, "version": version.version, "spec": spec}
                await c.execute(insert(t.card_versions).values(**values))
            await append(c, audit)

    async def fact(self, name: str) -> str | None:
        """Return a fact of the deployment by name, or None."""
        async with self._read() as c:
            found = await c.scalar(select(t.meta.c.value).where(t.meta.c.name == name))
        return None if found is None else str(found)

    async def set_fact(self, name: str, value: str) -> None:
        """Store a fact of the deployment unless it has a value: the first value wins."""
        with suppress(VersionConflict):
            async with self._write() as c:
                await c.execute(insert(t.meta).values(name=name, value=value))

    async def destroy_fact(self, name: str) -> None:
        """Delete a fact and overwrite its bytes, so that no later copy of the file has the value.

        SQLite needs both steps: `secure_delete` zeroes the page, and the checkpoint empties the
        write-ahead log, which still holds the old page.
        """
        is_sqlite = self._engine.dialect.name == "sqlite"
        async with self._write() as c:
            if is_sqlite:
                await c.execute(text("PRAGMA secure_delete = ON"))
            await c.execute(delete(t.meta).where(t.meta.c.name == name))
        if is_sqlite:
            async with self._read() as c:
                await c.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))

    async def ping(self) -> None:
        """Check that the catalog answers. Raises Unavailable."""
        async with self._read() as c:
            await c.execute(select(1))


async def _members(c: AsyncConnection, org: str, named: dict[str, str]) -> dict[str, Member]:
    wanted = [
        and_(t.members.c.kind == kind, t.members.c.id == name)
        for kind, name in named.items()
        if name
    ]
    if not wanted:
        return {}
    of = select(t.members.c.kind, t.members.c.spec).where(t.members.c.org == org, or_(*wanted))
    return {row.kind: _load(Member, row.spec) for row in await c.execute(of)}


def _split_limits(rows: Sequence[Any]) -> tuple[tuple[Cap, ...], tuple[RateLimit, ...]]:
    caps = tuple(_load(Cap, row.spec) for row in rows if row.kind == "cap")
    rates = tuple(_load(RateLimit, row.spec) for row in rows if row.kind == "rate_limit")
    return tuple(sorted(caps, key=lambda c: c.id)), tuple(sorted(rates, key=lambda r: r.id))


async def _bump(
    c: AsyncConnection, table: Table, of: str, from_version: int, values: dict[str, Any]
) -> None:
    where = (table.c.id == of, table.c.version == from_version)
    done = await c.execute(update(table).where(*where).values(**values))
    if done.rowcount != 1:
        raise VersionConflict


async def _replace(
    c: AsyncConnection, table: Table, key: dict[str, str], values: dict[str, Any]
) -> None:
    where = [table.c[name] == value for name, value in key.items()]
    await c.execute(delete(table).where(*where))
    await c.execute(insert(table).values(**key, **values))
