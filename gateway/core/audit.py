"""Entries of the audit log: values without behaviour."""

from __future__ import annotations

from msgspec import Struct


class AuditEntry(Struct, frozen=True):
    """One change. `before` and `after` are JSON, b"" where the object did not or does not exist.

    `org` is "" for what all orgs share, `actor` the id of the credential, `at_ms` the store's time.
    `once` names a change that a repeated call must not add again; None where that cannot happen.
    """

    at_ms: int
    org: str
    actor: str
    action: str
    kind: str
    id: str
    before: bytes = b""
    after: bytes = b""
    once: str | None = None


class AuditRow(Struct, frozen=True):
    """An entry with its number, counted from 1, and its hash in the chain."""

    n: int
    hash: bytes
    entry: AuditEntry
