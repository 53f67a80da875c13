"""Answers about credentials."""

from __future__ import annotations

from gateway.wire.answers.base import Answer


class CredentialAnswer(Answer):
    """A new credential; the secret is shown this once."""

    id: str
    secret: str


class CredentialShown(Answer):
    """A credential without its secret."""

    id: str
    name: str
    scopes: list[str]
    org: str | None
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    allowed_networks: list[str] | None
    must_rotate: bool


class CredentialsAnswer(Answer):
    """All credentials, under two names; `next_cursor` is null."""

    credentials: list[CredentialShown]
    data: list[CredentialShown]
    next_cursor: str | None = None
