"""Users by a hash of their id, where a deployment chose to know no more of them."""

from __future__ import annotations

from typing import TypeVar

from msgspec.structs import replace

from gateway.flows.context import hashed
from gateway.flows.gateway import Gateway
from gateway.wire.messages import CapBody, RateLimitBody

B = TypeVar("B", bound=CapBody | RateLimitBody)


def known_as(gateway: Gateway, user: str) -> str:
    """What a user is known as from the edge inwards: callers name the id, and read the hash."""
    if not gateway.settings.hash_users or not user:
        return user
    return f"u_{hashed(gateway.secret, user)}"


def with_target(gateway: Gateway, body: B) -> B:
    """A limit whose target, if it is a user, is named as users are known."""
    if body.level == "user" and isinstance(body.target, str):
        return replace(body, target=known_as(gateway, body.target))
    return body
