"""Credentials of callers: stored as hashes, cached by each worker.

A secret is random and shown once. A worker looks up the hash of a secret that it sees for the first
time and caches the result, in bounded space. One row of `meta` changes with every change of a
credential; a worker that finds it changed reads its cached credentials again.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from msgspec import json
from msgspec.structs import replace
from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.catalog import schema as t
from gateway.catalog.audit import append
from gateway.catalog.secrecy import SECRET_BYTES, digest_of, seal, shown, unseal
from gateway.catalog.tables import Tables
from gateway.core.audit import AuditEntry
from gateway.errors import CallerError

ALL_SCOPES = frozenset({"authorize", "read", "admin", "risk", "finance"})
ADMIN_ID = "cred_admin"
CREATED_KEPT_MS = 86_400_000
LOOK_S = 0.02
"""Least time between two queries for unknown secrets.

Without it, strangers could load the catalog with invented keys: a query for each.
"""
MOST_KNOWN = 10_000
"""Digests that a worker caches: so many that exist, and as many that do not."""
AT_A_TIME = 500
USED_EVERY_S = 60.0
CHANGES, ADMIN_OFF = "credentials", "admin_key_off"
"""Facts of the deployment: a token of the last change, and the admin key that was switched off."""


@dataclass(frozen=True)
class Credential:
    """A calling service. `org` "" binds it to no org; `expires_ms` 0 means never (Unix ms).

    `networks` lists where it may call from; an empty list allows any address. `is_derived` marks a
    secret that follows from one that earlier versions stored in the catalog: it must be rotated.
    """

    id: str
    name: str
    scopes: frozenset[str]
    org: str
    created_ms: int = 0
    expires_ms: int = 0
    last_used_ms: int = 0
    networks: tuple[str, ...] = ()
    is_derived: bool = False

    def check_now(self, address: str, now_ms: int) -> None:
        """Refuse an expired credential or a foreign address. Raises CallerError 401 or 403."""
        if self.expires_ms and now_ms >= self.expires_ms:
            raise CallerError("unauthorized", "this credential has expired")
        if self.networks and not _is_within(address, self.networks):
            detail = f"this credential may not be used from {address or 'an unknown address'}"
            raise CallerError("forbidden", detail)


@dataclass(frozen=True)
class Wanted:
    """Properties of a credential that is to be created; fields as in Credential."""

    name: str
    scopes: Sequence[str]
    org: str = ""
    expires_ms: int = 0
    networks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Repeatable:
    """A call whose result is stored for a day: the name it is found by and its body's digest.

    Only the caller knows `proof`: it is made of the caller's key and idempotency key. The secret in
    the stored result is encrypted under it, so the catalog alone reveals no secret.
    """

    name: str
    digest: str
    proof: bytes = field(repr=False)


def _is_within(address: str, networks: Iterable[str]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in ip_network(network) for network in networks)


class Rotated(Exception):
    """Another call rotated the credential in between."""


class Credentials(Tables):
    """Table of credentials, and this process's cache of those that were used here.

    `admin_key` is the operator's own key, with all scopes; "" for none.
    """

    def __init__(self, engine: AsyncEngine, admin_key: str) -> None:
        super().__init__(engine)
        self._admin = Credential(ADMIN_ID, "admin", ALL_SCOPES, "")
        self._admin_digest = digest_of(admin_key) if admin_key else ""
        self._known: dict[str, Credential] = {}
        self._unknown: dict[str, None] = {}
        self._wanted: dict[str, None] = {}
        self._change: str | None = None
        self._looking: asyncio.Task[None] | None = None
        self._looked_at_s = 0.0
        self._used: set[str] = set()
        self._used_written_at_s = 0.0

    def find(self, digest: str) -> Credential | None:
        """Return the cached credential whose secret has this digest, or None."""
        found = self._known.get(digest)
        if found is not None:
            self._used.add(found.id)
        return found

    async def look_up(self, digest: str) -> Credential | None:
        """Find a credential in the catalog itself, not in memory. Raises Unavailable.

        Calls within LOOK_S share one query: it reads recent changes and the unknown digests.
        """
        while True:
            is_asked = digest in self._wanted or len(self._wanted) < AT_A_TIME
            if is_asked:
                self._wanted[digest] = None
            if self._looking is None:
                self._looking = asyncio.create_task(self._look())
            await asyncio.shield(self._looking)
            if is_asked:
                return self.find(digest)

    async def _look(self) -> None:
        # A caller that joins this task registered its digest before the query reads them.
        await asyncio.sleep(max(0.0, self._looked_at_s + LOOK_S - time.monotonic()))
        self._looking, self._looked_at_s = None, time.monotonic()
        wanted, self._wanted = list(self._wanted), {}
        async with self._read() as c:
            await self._catch_up(c)
            await self._learn(c, [digest for digest in wanted if digest not in self._unknown])

    async def refresh(self) -> None:
        """Read the changes since the last call. Raises Unavailable.

        Once a minute it also stores which credentials were used.
        """
        async with self._read() as c:
            await self._catch_up(c)
        if time.monotonic() - self._used_written_at_s > USED_EVERY_S:
            self._used_written_at_s = time.monotonic()
            await self._write_used()

    async def _catch_up(self, c: AsyncConnection) -> None:
        facts = select(t.meta).where(t.meta.c.name.in_((CHANGES, ADMIN_OFF)))
        found = {row.name: row.value for row in await c.execute(facts)}
        change = found.get(CHANGES, "")
        if change != self._change:
            digests = [d for d in self._known if d != self._admin_digest]
            self._unknown.clear()
            for at in range(0, len(digests), AT_A_TIME):
                await self._learn(c, digests[at : at + AT_A_TIME])
            self._change = change
        if self._admin_digest and found.get(ADMIN_OFF) != self._admin_digest:
            self._known[self._admin_digest] = self._admin
        else:
            self._known.pop(self._admin_digest, None)

    async def _learn(self, c: AsyncConnection, digests: list[str]) -> None:
        """Read these digests again; drop those that no longer exist from the cache."""
        if not digests:
            return
        of = t.credentials.c
        rows = await c.execute(
            select(t.credentials).where(or_(of.digest.in_(digests), of.old_digest.in_(digests)))
        )
        found: dict[str, Credential] = {}
        now_ms = time.time_ns() // 1_000_000
        for row in rows:
            found[row.digest] = _credential(row)
            if row.old_digest and now_ms < row.old_until_ms:
                found[row.old_digest] = _credential(row, until_ms=row.old_until_ms)
        for digest in digests:
            if digest in found:
                self._unknown.pop(digest, None)
                _remember(self._known, digest, found[digest])
            elif digest != self._admin_digest:
                self._known.pop(digest, None)
                _remember(self._unknown, digest, None)

    async def _write_used(self) -> None:
        used, self._used = self._used - {ADMIN_ID}, set()
        if used:
            now_ms = time.time_ns() // 1_000_000
            async with self._write() as c:
                where = t.credentials.c.id.in_(sorted(used)[:AT_A_TIME])
                await c.execute(update(t.credentials).where(where).values(last_used_ms=now_ms))

    async def listed(self) -> list[Credential]:
        """Return all credentials, oldest first."""
        async with self._read() as c:
            of = t.credentials.c
            rows = await c.execute(select(t.credentials).order_by(of.created_ms, of.id))
            return [_credential(row) for row in rows]

    async def create(
        self, wanted: Wanted, actor: str, now_ms: int, call: Repeatable | None
    ) -> tuple[str, str, bool]:
        """Create a credential: (id, secret, whether it is a replay). Raises CallerError 422.

        `actor` is the credential that asks for it.
        """
        if call is not None and (found := await self._answered(call, now_ms)):
            return (*found, True)
        name, secret = f"cred_{secrets.token_hex(10)}", secrets.token_bytes(SECRET_BYTES)
        row = {
            "id": name,
            "name": wanted.name,
            "scopes": " ".join(sorted(set(wanted.scopes))),
            "org": wanted.org,
            "digest": digest_of(shown(secret)),
            "created_ms": now_ms,
            "expires_ms": wanted.expires_ms,
            "networks": " ".join(wanted.networks),
            "is_derived": False,
        }
        try:
            async with self._write() as c:
                await _keep_answer(c, call, name, secret, now_ms)
                await c.execute(insert(t.credentials).values(**row))
                await _changed(c)
                await append(c, _entry(now_ms, actor, "create", name, wanted.org, wanted))
        except IntegrityError:
            # A concurrent call with the same idempotency key won: return its stored result.
            return await self.create(wanted, actor, now_ms, call)
        return name, shown(secret), False

    async def rotate(
        self,
        credential: Credential,
        overlap_ms: int,
        actor: str,
        now_ms: int,
        call: Repeatable | None,
    ) -> tuple[str, bool]:
        """Give a credential a new secret: (secret, whether it is a replay).

        The previous secret works for `overlap_ms` more. Raises CallerError 404 and 422.
        """
        if call is not None and (found := await self._answered(call, now_ms)):
            return found[1], True
        secret, of = secrets.token_bytes(SECRET_BYTES), t.credentials.c
        credential_id = credential.id
        try:
            async with self._write() as c:
                await _keep_answer(c, call, credential_id, secret, now_ms)
                before = await c.scalar(select(of.digest).where(of.id == credential_id))
                if before is None:
                    raise no_such(credential_id)
                done = await c.execute(
                    update(t.credentials)
                    .where(of.id == credential_id, of.digest == before)
                    .values(
                        digest=digest_of(shown(secret)),
                        old_digest=before if overlap_ms else "",
                        old_until_ms=now_ms + overlap_ms,
                        is_derived=False,
                    )
                )
                if done.rowcount != 1:
                    raise Rotated
                await _changed(c)
                kept = _properties(credential)
                entry = _entry(now_ms, actor, "rotate", credential_id, credential.org, kept)
                await append(c, entry)
        except (IntegrityError, Rotated):
            # A concurrent rotation won: this one starts again from its result.
            return await self.rotate(credential, overlap_ms, actor, now_ms, call)
        return shown(secret), False

    async def _answered(self, call: Repeatable, now_ms: int) -> tuple[str, str] | None:
        """Return the id and secret in the stored result of this call. Raises CallerError 422."""
        async with self._read() as c:
            of = select(t.answers).where(t.answers.c.name == call.name)
            row = (await c.execute(of.where(t.answers.c.expires_ms > now_ms))).first()
        if row is None:
            return None
        if row.digest != call.digest:
            detail = "this idempotency key came with another body before"
            raise CallerError("idempotency_key_reused", detail)
        if not row.sealed:
            detail = "it was made before an upgrade, which forgot its secret: rotate it"
            raise CallerError("invalid_request", detail)
        return row.ref, shown(unseal(row.sealed, call.proof))

    async def remove(self, credential: Credential, actor: str, now_ms: int) -> bool:
        """Revoke a credential; False if there was none."""
        async with self._write() as c:
            where = t.credentials.c.id == credential.id
            done = await c.execute(delete(t.credentials).where(where))
            await _changed(c)
            if done.rowcount:
                entry = _entry(now_ms, actor, "delete", credential.id, credential.org)
                before = json.encode(_properties(credential))
                await append(c, replace(entry, before=before))
        return bool(done.rowcount)

    async def switch_admin_off(self, actor: str, now_ms: int) -> None:
        """Refuse this operator key from now on; a different operator key would work."""
        async with self._write() as c:
            await c.execute(delete(t.meta).where(t.meta.c.name == ADMIN_OFF))
            await c.execute(insert(t.meta).values(name=ADMIN_OFF, value=self._admin_digest))
            await _changed(c)
            await append(c, _entry(now_ms, actor, "delete", ADMIN_ID, ""))


def _properties(credential: Credential) -> Wanted:
    """The properties of a credential, as the audit log shows them."""
    of = (sorted(credential.scopes), credential.org, credential.expires_ms, credential.networks)
    return Wanted(credential.name, *of)


def _entry(
    at_ms: int, actor: str, action: str, credential: str, org: str, made: Wanted | None = None
) -> AuditEntry:
    after = json.encode(made) if made is not None else b""
    return AuditEntry(at_ms, org, actor, action, "credential", credential, after=after)


def no_such(credential_id: str) -> CallerError:
    """Build the error 404 for a credential that does not exist or is another org's."""
    return CallerError("not_found", f"there is no credential {credential_id}")


async def _changed(c: AsyncConnection) -> None:
    values = {"value": secrets.token_hex(8)}
    await c.execute(update(t.meta).where(t.meta.c.name == CHANGES).values(**values))


async def _keep_answer(
    c: AsyncConnection, call: Repeatable | None, name: str, secret: bytes, now_ms: int
) -> None:
    await c.execute(delete(t.answers).where(t.answers.c.expires_ms <= now_ms))
    if call is not None:
        kept: dict[str, Any] = {"name": call.name, "digest": call.digest, "ref": name}
        kept |= {"expires_ms": now_ms + CREATED_KEPT_MS, "sealed": seal(secret, call.proof)}
        await c.execute(insert(t.answers).values(**kept))


def _remember(into: dict[str, Any], digest: str, value: Any) -> None:
    into[digest] = value
    if len(into) > MOST_KNOWN:
        del into[next(iter(into))]


def _credential(row: Any, until_ms: int = 0) -> Credential:
    ends = [ms for ms in (row.expires_ms, until_ms) if ms]
    return Credential(
        row.id,
        row.name,
        frozenset(row.scopes.split()),
        row.org,
        row.created_ms,
        min(ends, default=0),
        row.last_used_ms,
        tuple(row.networks.split()),
        bool(row.is_derived),
    )
