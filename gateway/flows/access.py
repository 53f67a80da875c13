"""Credentials: who may call, made and revoked by those who may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.catalog.credentials import Credential
from gateway.errors import CallerError
from gateway.flows.gateway import Caller, Gateway
from gateway.wire.answers import rfc3339
from gateway.wire.messages import CredentialBody


@dataclass(frozen=True)
class Created:
    """A new credential: its secret is shown this once."""

    id: str
    secret: str
    is_replay: bool


async def create(gateway: Gateway, body: CredentialBody, caller: Caller) -> Created:
    """Make a credential. Nobody gives away more than they have."""
    own = caller.credential
    more = sorted(set(body.scopes) - own.scopes)
    if more:
        detail = f"your own credential lacks {', '.join(more)}"
        raise CallerError("forbidden", detail, status=403)
    if own.org and body.org != own.org:
        detail = f"your credential is bound to {own.org}; so must be those it makes"
        raise CallerError("forbidden", detail, status=403)
    idempotency = caller.idempotency(body.org or "", body, gateway.settings.admin_kept_s)
    kept = (idempotency.name, idempotency.digest.hex()) if idempotency else None
    made = await gateway.credentials.create(
        body.name, list(body.scopes), body.org or "", gateway.clock.now_ms(), kept
    )
    return Created(*made)


async def listed(gateway: Gateway, caller: Caller) -> list[dict[str, Any]]:
    """All credentials the caller may see, without secrets."""
    await gateway.credentials.refresh()
    bound = caller.credential.org
    return [_shown(c) for c in gateway.credentials.listed() if not bound or c.org == bound]


def _shown(credential: Credential) -> dict[str, Any]:
    return {
        "id": credential.id,
        "name": credential.name,
        "scopes": sorted(credential.scopes),
        "org": credential.org or None,
        "created_at": rfc3339(credential.created_ms),
    }


async def remove(gateway: Gateway, credential_id: str, caller: Caller) -> None:
    """Revoke a credential; every worker refuses it within a second."""
    known = {c["id"] for c in await listed(gateway, caller)}
    if credential_id not in known or not await gateway.credentials.remove(credential_id):
        raise CallerError("not_found", f"there is no credential {credential_id}", status=404)
