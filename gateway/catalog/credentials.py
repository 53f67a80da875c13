"""Who may call: credentials, stored as hashes, and each worker's view of them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.catalog import schema as t
from gateway.errors import CallerError, Unavailable

ALL_SCOPES = frozenset({"authorize", "read", "admin", "risk", "finance"})
ADMIN_ID = "cred_admin"
CREATED_KEPT_MS = 86_400_000
LOOK_S = 0.02


@dataclass(frozen=True)
class Credential:
    """A service that calls. `org` "" is bound to none."""

    id: str
    name: str
    scopes: frozenset[str]
    org: str
    created_ms: int = 0


def digest_of(secret: str) -> str:
    """What is stored of a secret: it is random and long, so one hash is enough."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Credentials:
    """Credentials in the catalog, and a view of them refreshed often enough to revoke within 1 s.

    `key` derives secrets, so that the answer to a repeated creation is the same without the
    secret being stored.
    """

    def __init__(self, engine: AsyncEngine, admin_key: str, key: str) -> None:
        self._engine = engine
        self._key = key.encode()
        self._admin = Credential(ADMIN_ID, "admin", ALL_SCOPES, "")
        self._admin_digest = digest_of(admin_key) if admin_key else ""
        self._view: dict[str, Credential] = {}
        self._looking: asyncio.Task[None] | None = None
        self._refreshing = asyncio.Lock()

    def find(self, digest: str) -> Credential | None:
        """The credential whose secret has this digest, as of the last refresh."""
        if self._admin_digest and hmac.compare_digest(digest, self._admin_digest):
            return self._admin
        return self._view.get(digest)

    async def find_anew(self, digest: str) -> Credential | None:
        """As find, but a credential just made elsewhere is known too.

        Strangers cannot make the catalog work: all who ask in LOOK_S share one look.
        """
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        await asyncio.shield(self._looking)
        return self.find(digest)

    async def _look(self) -> None:
        # Waits first: whoever joins a look asked before it was made.
        await asyncio.sleep(LOOK_S)
        self._looking = None
        await self.refresh()

    async def refresh(self) -> None:
        """Read all credentials anew. Raises Unavailable."""
        # One after the other: an older view never follows a newer one.
        async with self._refreshing:
            try:
                async with self._engine.connect() as c:
                    rows = (await c.execute(select(t.credentials))).all()
            except (OperationalError, OSError) as error:
                raise Unavailable("catalog_unavailable", "the catalog does not answer") from error
            self._view = {
                r.digest: Credential(r.id, r.name, frozenset(r.scopes.split()), r.org, r.created_ms)
                for r in rows
            }

    def listed(self) -> list[Credential]:
        """All credentials, oldest first."""
        return sorted(self._view.values(), key=lambda c: (c.created_ms, c.id))

    def _secret(self, credential_id: str) -> str:
        mac = hmac.new(self._key, credential_id.encode(), hashlib.sha256)
        return f"sk_{mac.hexdigest()}"

    async def create(
        self,
        name: str,
        scopes: list[str],
        org: str,
        now_ms: int,
        kept: tuple[str, str] | None,
    ) -> tuple[str, str, bool]:
        """Make a credential: (id, secret, whether it is a replay).

        `kept` is the idempotency name and body digest: the same pair answers the same again.
        """
        if kept is not None and (found := await self._kept(kept, now_ms)):
            return found, self._secret(found), True
        credential_id = f"cred_{secrets.token_hex(10)}"
        secret = self._secret(credential_id)
        row = {
            "id": credential_id,
            "name": name,
            "scopes": " ".join(sorted(set(scopes))),
            "org": org,
            "digest": digest_of(secret),
            "created_ms": now_ms,
        }
        try:
            async with self._engine.begin() as c:
                if kept is not None:
                    await c.execute(delete(t.answers).where(t.answers.c.expires_ms <= now_ms))
                    answer = {"name": kept[0], "digest": kept[1], "ref": credential_id}
                    answer_row = {**answer, "expires_ms": now_ms + CREATED_KEPT_MS}
                    await c.execute(insert(t.answers).values(**answer_row))
                await c.execute(insert(t.credentials).values(**row))
        except IntegrityError:
            # The same key at the same time: the other call's answer is ours too.
            return await self.create(name, scopes, org, now_ms, kept)
        except OperationalError as error:
            raise Unavailable("catalog_unavailable", "the catalog does not answer") from error
        await self.refresh()
        return credential_id, secret, False

    async def _kept(self, kept: tuple[str, str], now_ms: int) -> str | None:
        async with self._engine.connect() as c:
            of = select(t.answers).where(t.answers.c.name == kept[0])
            row = (await c.execute(of.where(t.answers.c.expires_ms > now_ms))).first()
        if row is None:
            return None
        if row.digest != kept[1]:
            raise CallerError(
                "idempotency_key_reused", "this idempotency key came with another body before"
            )
        return str(row.ref)

    async def remove(self, credential_id: str) -> bool:
        """Revoke a credential; whether there was one."""
        async with self._engine.begin() as c:
            done = await c.execute(delete(t.credentials).where(t.credentials.c.id == credential_id))
        await self.refresh()
        return bool(done.rowcount)
