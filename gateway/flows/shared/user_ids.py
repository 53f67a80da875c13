"""Replace user ids by hashes, where a deployment chose that."""

from __future__ import annotations

from typing import TypeVar

from msgspec import UnsetType
from msgspec.structs import replace

from gateway.core.entities import Cap, RateLimit
from gateway.flows.shared.pseudonyms import hashed
from gateway.flows.shared.services import SharedServices
from gateway.wire.requests.accounts import CapBody, RateLimitBody

B = TypeVar("B", bound=CapBody | RateLimitBody)


def known_as(services: SharedServices, user: str) -> str:
    """Id of a user inside the gateway: the caller's, or its hash where `hash_users` is set."""
    if not services.settings.hash_users or not user:
        return user
    return f"u_{hashed(services.secret, user)}"


def with_target(services: SharedServices, body: B, before: Cap | RateLimit | None = None) -> B:
    """A limit whose target, if it is a user, is named as users are known.

    A body that does not name the level keeps that of the limit `before`.
    """
    level = before.level if isinstance(body.level, UnsetType) and before else body.level
    if level == "user" and isinstance(body.target, str):
        return replace(body, target=known_as(services, body.target))
    return body
