"""Turn replies of the store into results and errors."""

from __future__ import annotations

import asyncio

from gateway.core.commands import Idempotency, Moved, Reply, Status, Version
from gateway.errors import CallerError, Unavailable
from gateway.flows.shared.services import SharedServices
from gateway.store.port import Result

STALE_PATIENCE_S = 5.0
"""Time in s that a call plans anew before it gives up."""


async def kept_or(
    services: SharedServices,
    org: str,
    idempotency: Idempotency | None,
    result: type[Result],
    error: CallerError,
) -> Reply:
    """Return the stored result of a retry; raise `error` where there is none.

    A repeated call gets its first answer even where it could not be made anew.
    """
    reply = None
    if idempotency is not None:
        reply = await services.store.kept(org, idempotency, result)
    if reply is None:
        raise error
    return reply


def reused() -> CallerError:
    """The same idempotency key came with another body."""
    return CallerError(
        "idempotency_key_reused", "this idempotency key came with another body before"
    )


def exactly_one(quantity: object, amount: object, names: str) -> None:
    """Raise CallerError unless exactly one of two is given."""
    if (quantity is None) == (amount is None):
        raise CallerError("invalid_request", f"give exactly one of {names}")


async def when_stale(
    services: SharedServices,
    org: str,
    reply: Reply,
    started: float,
    planned: tuple[Version, ...] = (),
) -> None:
    """Reload what a plan was made from; raises Unavailable when that does not settle.

    Where the versions are those that were `planned` it only came late, or its windows had passed.
    """
    services.hooks.on_stale()
    services.clock.learn(reply.now_ms)
    if asyncio.get_running_loop().time() - started > STALE_PATIENCE_S:
        raise Unavailable("store_unavailable", "versions keep changing; try again")
    if not planned or reply.versions != tuple(version.expected for version in planned):
        await services.profiles.refresh(org, reply.versions)


def moved_of(reply: Reply) -> Moved:
    """Result of a call that moves funds or records an event. Raises CallerError or Unavailable."""
    if reply.status is Status.REUSED:
        raise reused()
    if reply.status is Status.CLOSED:
        raise Unavailable("store_unavailable", "the shard is closed until it is rebuilt")
    if reply.status is Status.RANGE:
        raise CallerError("amount_out_of_range", "the balance would leave ±(2^53 - 1) micro-units")
    assert reply.moved is not None
    return reply.moved
