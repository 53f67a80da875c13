"""The caller of a request: credential, path, idempotency key, conditions."""

from __future__ import annotations

import hashlib

from msgspec import Struct, msgpack

from gateway.catalog.credentials import Credential
from gateway.core import names
from gateway.core.commands import Idempotency
from gateway.errors import CallerError
from gateway.wire.answers.base import Answer
from gateway.wire.etags import is_listed
from gateway.wire.ids import Message

_canonical = msgpack.Encoder(order="deterministic").encode


DIGEST_BYTES = 16


class Caller(Struct, frozen=True):
    """The credential of a call, its path and its idempotency key ("" for none).

    `if_match` and `if_none_match` are the headers that make a change conditional; None: absent.
    """

    credential: Credential
    path: str
    idempotency_key: str = ""
    if_match: str | None = None
    if_none_match: str | None = None

    def check_condition(self, before: Answer | None) -> None:
        """Raise 412 where an object, as it is before the change, is not as the call demands."""
        if self.if_match is not None and not is_listed(self.if_match, before):
            detail = "the object was changed since it was read: read it again"
            raise CallerError("precondition_failed", detail)
        header = self.if_none_match
        if header is not None and is_listed(header, before, is_weak=True):
            raise CallerError(
                "precondition_failed", "the object exists, and If-None-Match forbids that"
            )

    def check_org(self, org: str) -> None:
        """Raise 404 when the credential is bound to another org: that one does not exist here."""
        bound = self.credential.org
        if bound and bound != org:
            raise CallerError("not_found", f"there is no org {org} for you")

    def check_unbound(self, what: str) -> None:
        """Raise 403 when the credential is bound to one org: what it does concerns all."""
        if self.credential.org:
            detail = f"a credential bound to one org cannot {what}"
            raise CallerError("forbidden", detail)

    def idempotency(self, org: str, body: Message, kept_s: int) -> Idempotency | None:
        """The scoped name and body digest of this call, or None without a key."""
        if not self.idempotency_key:
            return None
        scope = "\n".join((self.credential.id, self.path, org, self.idempotency_key))
        name = hashlib.blake2b(scope.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return Idempotency(names.outcome(name), body_digest(body), kept_s * 1000)


def body_digest(body: Message) -> bytes:
    """A digest of what a body says, whatever its formatting."""
    return hashlib.blake2b(_canonical(body), digest_size=DIGEST_BYTES).digest()
