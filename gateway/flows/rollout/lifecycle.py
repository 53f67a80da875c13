"""Change what is in force: once per call, after the latest change, when its counters are filled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from gateway.catalog.declared_counters import WANTED_MS, declared
from gateway.catalog.policy_log import (
    EVERYBODY,
    WARMING,
    Change,
    PoliciesInForce,
    in_force,
)
from gateway.errors import Unavailable
from gateway.flows.rollout.services import RolloutServices
from gateway.flows.shared.caller import Caller
from gateway.flows.shared.replies import reused
from gateway.wire.ids import Message

ATTEMPTS = 40
WARM_PATIENCE_S = 25.0
WARM_LOOK_S = 0.1
Check = Callable[[Sequence[Change], Change], None]
"""Raises CallerError where a change may not follow the changes before it."""


def once_of(caller: Caller, body: Message) -> str:
    """Identity of a call: its idempotency key and a digest of its body; "" without a key."""
    once = caller.idempotency("", body, 0)
    return f"{once.name} {once.digest.hex()}" if once else ""


def made_before(changes: Sequence[Change], key: str) -> PoliciesInForce | None:
    """State after the last change that this same call made earlier; None where it made none.

    Raises CallerError where the idempotency key came with another body.
    """
    name, found = key.partition(" ")[0], None
    for place, change in enumerate(changes, 1):
        if key and change.once.partition(" ")[0] == name:
            if change.once != key:
                raise reused()
            found = place
    return None if found is None else in_force(changes[:found])


async def backfill(
    services: RolloutServices, name: str, reads: tuple[str, ...], caller: Caller
) -> None:
    """Declare counters that something reads; wait until they are filled. Raises Unavailable."""
    loop = asyncio.get_running_loop()
    until = loop.time() + WARM_PATIENCE_S
    while True:
        changes = await services.rulesets.changes()
        known, now_ms = declared(changes), services.clock.now_ms()
        asked = [c.at_ms for c in changes if c.mode == WARMING and c.ruleset == name]
        is_old = bool(asked) and now_ms - asked[-1] > WANTED_MS // 2
        is_warm = all(name in known and known[name].is_warm for name in reads)
        if any(name not in known for name in reads) or (is_old and not is_warm):
            # Said once more, too, so that it is not taken for given up.
            author = caller.credential.id
            await change(services, Change(0, name, WARMING, EVERYBODY, author, "", 0, reads))
        elif is_warm:
            return
        if loop.time() > until:
            detail = "the counters are still being backfilled from the log; try again"
            raise Unavailable("not_warm_yet", detail)
        await asyncio.sleep(WARM_LOOK_S)


async def change(
    services: RolloutServices, wanted: Change, check: Check | None = None
) -> PoliciesInForce | None:
    """Append a change to the log, once per call. A retry returns the state after the first."""
    made = replace(wanted, at_ms=services.clock.now_ms())
    for _ in range(ATTEMPTS):
        changes = await services.rulesets.changes()
        before = made_before(changes, wanted.once)
        if before is not None:
            return before
        if check is not None:
            check(changes, made)
        if await services.rulesets.change(changes[-1].n if changes else 0, [made]):
            await services.rules.refresh()
            return None
    raise Unavailable("too_many_changes", "others are changing the rules; try again")
