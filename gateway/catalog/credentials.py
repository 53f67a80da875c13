"""Who may call: credentials, stored as hashes, and what each worker knows of them.

A secret is random and shown once. A worker looks a secret's hash up when it meets it first and
remembers what it found, in bounded space; one row tells all workers that something changed.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.catalog import schema as t
from gateway.catalog.tables import Tables
from gateway.errors import CallerError

ALL_SCOPES = frozenset({"authorize", "read", "admin", "risk", "finance"})
ADMIN_ID = "cred_admin"
CREATED_KEPT_MS = 86_400_000
LOOK_S = 0.02
"""Looks at the catalog are this far apart: strangers with made-up keys cannot make it work."""
MOST_KNOWN = 10_000
"""Secrets a worker remembers: known ones, and as many that nobody has."""
AT_A_TIME = 500
USED_EVERY_S = 60.0
CHANGES, ADMIN_OFF = "credentials", "admin_key_off"
"""Facts of the deployment: a token of the last change, and the admin key that was switched off."""
SECRET_BYTES = 32


@dataclass(frozen=True)
class Credential:
    """A service that calls. `org` "" is bound to none; `expires_ms` 0 is never.

    `networks` are those it may call from, none means any. `is_derived`: its secret follows from one
    that earlier versions kept in the catalog, so it must be rotated.
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
        """Raise 401 when it has expired, 403 when it may not call from that address."""
        if self.expires_ms and now_ms >= self.expires_ms:
            raise CallerError("unauthorized", "this credential has expired", status=401)
        if self.networks and not _is_within(address, self.networks):
            detail = f"this credential may not be used from {address or 'an unknown address'}"
            raise CallerError("forbidden", detail, status=403)


@dataclass(frozen=True)
class Wanted:
    """A credential to be made: who may call for what, until when and from where."""

    name: str
    scopes: Sequence[str]
    org: str = ""
    expires_ms: int = 0
    networks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Repeatable:
    """A call whose answer can be given again for a day: its name and body digest.

    `proof` is known only to whoever made the call: its key and its idempotency key. The secret it
    was answered with is kept sealed under it.
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


def digest_of(secret: str) -> str:
    """What is stored of a secret: it is random and long, so one hash is enough."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def seal(secret: bytes, proof: bytes) -> bytes:
    """Encrypt a secret under a proof, which is used with a fresh nonce: a one-time pad by a PRF."""
    nonce = secrets.token_bytes(16)
    return nonce + _padded(secret, nonce, proof)


def unseal(sealed: bytes, proof: bytes) -> bytes:
    """The secret again; something else under another proof, which its stored hash tells."""
    return _padded(sealed[16:], sealed[:16], proof)


def _padded(text: bytes, nonce: bytes, proof: bytes) -> bytes:
    pad = hashlib.blake2b(nonce, key=proof, digest_size=SECRET_BYTES).digest()
    return bytes(a ^ b for a, b in zip(text, pad, strict=True))


def _shown(secret: bytes) -> str:
    return f"sk_{secret.hex()}"


class Rotated(Exception):
    """Somebody else rotated it in between."""


class Credentials(Tables):
    """Credentials in the catalog, and this process's view of those that were used here.

    `admin_key` is the operator's own, with all scopes; "" for none.
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
        """The credential whose secret has this digest, if this worker knows it."""
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
        # Whoever joins a look asked before it was made.
        await asyncio.sleep(max(0.0, self._looked_at_s + LOOK_S - time.monotonic()))
        self._looking, self._looked_at_s = None, time.monotonic()
        wanted, self._wanted = list(self._wanted), {}
        async with self._read() as c:
            await self._catch_up(c)
            await self._learn(c, [digest for digest in wanted if digest not in self._unknown])

    async def refresh(self) -> None:
        """Take over what changed since the last time. Raises Unavailable."""
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
        """Read these anew: what is not there any more is not known any more."""
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
        """All credentials, oldest first."""
        async with self._read() as c:
            of = t.credentials.c
            rows = await c.execute(select(t.credentials).order_by(of.created_ms, of.id))
            return [_credential(row) for row in rows]

    async def create(
        self, wanted: Wanted, now_ms: int, call: Repeatable | None
    ) -> tuple[str, str, bool]:
        """Make a credential: (id, secret, whether it is a replay). Raises CallerError 422."""
        if call is not None and (found := await self._answered(call, now_ms)):
            return (*found, True)
        name, secret = f"cred_{secrets.token_hex(10)}", secrets.token_bytes(SECRET_BYTES)
        row = {
            "id": name,
            "name": wanted.name,
            "scopes": " ".join(sorted(set(wanted.scopes))),
            "org": wanted.org,
            "digest": digest_of(_shown(secret)),
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
        except IntegrityError:
            # The same key at the same time: the other call's answer is ours too.
            return await self.create(wanted, now_ms, call)
        return name, _shown(secret), False

    async def rotate(
        self, credential_id: str, overlap_ms: int, now_ms: int, call: Repeatable | None
    ) -> tuple[str, bool]:
        """Give a credential another secret: (secret, whether it is a replay).

        The one before works until the overlap has passed. Raises CallerError 404.
        """
        if call is not None and (found := await self._answered(call, now_ms)):
            return found[1], True
        secret, of = secrets.token_bytes(SECRET_BYTES), t.credentials.c
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
                        digest=digest_of(_shown(secret)),
                        old_digest=before if overlap_ms else "",
                        old_until_ms=now_ms + overlap_ms,
                        is_derived=False,
                    )
                )
                if done.rowcount != 1:
                    raise Rotated
                await _changed(c)
        except (IntegrityError, Rotated):
            # Another rotation at the same time: this one comes after it.
            return await self.rotate(credential_id, overlap_ms, now_ms, call)
        return _shown(secret), False

    async def _answered(self, call: Repeatable, now_ms: int) -> tuple[str, str] | None:
        """Return the id and secret of an earlier identical call. Raises CallerError 422."""
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
        return row.ref, _shown(unseal(row.sealed, call.proof))

    async def remove(self, credential_id: str) -> bool:
        """Revoke a credential; whether there was one."""
        async with self._write() as c:
            done = await c.execute(delete(t.credentials).where(t.credentials.c.id == credential_id))
            await _changed(c)
        return bool(done.rowcount)

    async def switch_admin_off(self) -> None:
        """Refuse the operator's key of this deployment from now on; another one would work."""
        async with self._write() as c:
            await c.execute(delete(t.meta).where(t.meta.c.name == ADMIN_OFF))
            await c.execute(insert(t.meta).values(name=ADMIN_OFF, value=self._admin_digest))
            await _changed(c)


def no_such(credential_id: str) -> CallerError:
    """There is no such credential, or none that this caller may see."""
    return CallerError("not_found", f"there is no credential {credential_id}", status=404)


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
