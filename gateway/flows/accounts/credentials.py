"""Create, rotate and revoke credentials."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from gateway.catalog.credentials import ADMIN_ID, Credential, Repeatable, Wanted, no_such
from gateway.errors import CallerError
from gateway.flows.accounts.services import AccountServices
from gateway.flows.shared.caller import Caller
from gateway.wire.answers.accounts import time_or_none
from gateway.wire.answers.base import rfc3339
from gateway.wire.answers.credentials import CredentialShown
from gateway.wire.decode import milliseconds
from gateway.wire.ids import Message
from gateway.wire.requests.accounts import CredentialBody, RotateBody


@dataclass(frozen=True)
class Created:
    """A new secret of a credential: it is shown this once."""

    id: str
    secret: str
    is_replay: bool


async def create(
    services: AccountServices, body: CredentialBody, caller: Caller, bearer: str
) -> Created:
    """Create a credential with at most the caller's own rights. Raises CallerError."""
    _check_reach(caller, body.scopes, body.org or "")
    now_ms, expires_ms = services.clock.now_ms(), milliseconds(body.expires_at) or 0
    if expires_ms and expires_ms <= now_ms:
        raise CallerError("invalid_request", "it lies in the past", pointer="/expires_at")
    networks = tuple(_network(text, at) for at, text in enumerate(body.allowed_networks or ()))
    _check_bounds(caller.credential, expires_ms, networks)
    wanted = Wanted(body.name, tuple(body.scopes), body.org or "", expires_ms, networks)
    call = _repeatable(services, body, caller, body.org or "", bearer)
    return Created(*await services.credentials.create(wanted, caller.credential.id, now_ms, call))


async def rotate(
    services: AccountServices, credential_id: str, body: RotateBody, caller: Caller, bearer: str
) -> Created:
    """Give a credential a new secret; the old one works on for `overlap_s`. Raises CallerError."""
    found = await _visible(services, credential_id, caller)
    _check_reach(caller, found.scopes, found.org)
    call = _repeatable(services, body, caller, found.org, bearer)
    overlap_ms = 1000 * (body.overlap_s or 0)
    actor, now_ms = caller.credential.id, services.clock.now_ms()
    made = await services.credentials.rotate(found, overlap_ms, actor, now_ms, call)
    return Created(credential_id, *made)


def _check_reach(caller: Caller, scopes: Any, org: str) -> None:
    own = caller.credential
    more = sorted(set(scopes) - own.scopes)
    if more:
        detail = f"your own credential lacks {', '.join(more)}"
        raise CallerError("forbidden", detail)
    if own.org and org != own.org:
        detail = f"your credential is bound to {own.org}; so must be those it makes"
        raise CallerError("forbidden", detail)


def _check_bounds(own: Credential, expires_ms: int, networks: tuple[str, ...]) -> None:
    """Raise 403 where a credential would last longer, or reach further, than its maker's."""
    if own.expires_ms and not 0 < expires_ms <= own.expires_ms:
        detail = f"your own credential expires at {rfc3339(own.expires_ms)}: so must those it makes"
        raise CallerError("forbidden", detail)
    if own.networks:
        wider = [text for text in networks if not _lies_in(text, own.networks)]
        if wider or not networks:
            detail = f"your own credential may be used from {', '.join(own.networks)} only"
            raise CallerError("forbidden", detail)


def _lies_in(text: str, networks: tuple[str, ...]) -> bool:
    found = ip_network(text)
    others = (ip_network(other) for other in networks)
    return any(
        found.version == other.version and found.subnet_of(other)  # type: ignore[arg-type]  # of one version
        for other in others
    )


def _network(text: str, at: int) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        detail = f"{text!r} is no network such as 203.0.113.0/24: {error}"
        raise CallerError("invalid_request", detail, pointer=f"/allowed_networks/{at}") from None


def _repeatable(
    services: AccountServices, body: Message, caller: Caller, org: str, bearer: str
) -> Repeatable | None:
    once = caller.idempotency(org, body, services.settings.admin_kept_s)
    if once is None:
        return None
    # Nobody has both but who made the call: the catalog has only their hashes.
    proof = hashlib.sha256(bearer.encode("utf-8", "surrogatepass")).digest()
    key = caller.idempotency_key.encode("utf-8", "surrogatepass")
    proof = hashlib.blake2b(key, key=proof, person=b"spendgate.cred").digest()
    return Repeatable(once.name, once.digest.hex(), proof)


async def listed(services: AccountServices, caller: Caller) -> list[CredentialShown]:
    """All credentials the caller may see, without secrets."""
    bound = caller.credential.org
    return [_shown(c) for c in await services.credentials.listed() if not bound or c.org == bound]


async def find(services: AccountServices, credential_id: str, caller: Caller) -> CredentialShown:
    """Find a credential the caller may see, without its secret. Raises 404."""
    return _shown(await _visible(services, credential_id, caller))


def _shown(credential: Credential) -> CredentialShown:
    return CredentialShown(
        id=credential.id,
        name=credential.name,
        scopes=sorted(credential.scopes),
        org=credential.org or None,
        created_at=rfc3339(credential.created_ms),
        expires_at=time_or_none(credential.expires_ms),
        last_used_at=time_or_none(credential.last_used_ms),
        allowed_networks=list(credential.networks) or None,
        must_rotate=credential.is_derived,
    )


async def _visible(services: AccountServices, credential_id: str, caller: Caller) -> Credential:
    bound = caller.credential.org
    for found in await services.credentials.listed():
        if found.id == credential_id and (not bound or found.org == bound):
            return found
    raise no_such(credential_id)


async def remove(services: AccountServices, credential_id: str, caller: Caller) -> None:
    """Revoke a credential; every worker refuses it within a second. Raises CallerError.

    The operator's own key can be switched off by, and while there is, another admin.
    """
    if credential_id == ADMIN_ID:
        await _switch_admin_off(services, caller)
    else:
        found = await _visible(services, credential_id, caller)
        actor, now_ms = caller.credential.id, services.clock.now_ms()
        if not await services.credentials.remove(found, actor, now_ms):
            raise no_such(credential_id)
    await services.credentials.refresh()


async def _switch_admin_off(services: AccountServices, caller: Caller) -> None:
    caller.check_unbound("switch the first admin key off")
    own = caller.credential
    if own.id == ADMIN_ID or own.expires_ms:
        detail = "switch it off with another admin credential that does not expire"
        raise CallerError("last_admin", detail)
    await services.credentials.switch_admin_off(own.id, services.clock.now_ms())
