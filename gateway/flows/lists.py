"""Lists: who stands on them, put and removed live; the store follows what the catalog says.

What stands on a list is known by its keyed hash alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import UnsetType
from msgspec.structs import replace

from gateway.catalog.declared import BUILT_IN, declared
from gateway.catalog.lists import Item
from gateway.catalog.rulesets import EVERYBODY, USED, Change
from gateway.errors import CallerError, Unavailable
from gateway.flows.bounds import check_items
from gateway.flows.context import hashed
from gateway.flows.entries import texts_of
from gateway.flows.following import follow
from gateway.flows.gateway import Caller, Gateway
from gateway.flows.policies import TAKEN_OVER_S
from gateway.flows.users import known_as
from gateway.wire.decode import keep, milliseconds
from gateway.wire.messages import ItemBody, Time

CHANGE = "change the lists of all"
ATTEMPTS = 10


async def put(gateway: Gateway, name: str, made: Sequence[Item], caller: Caller) -> None:
    """Put items on a list: they count from now on. Raises CallerError or Unavailable."""
    caller.check_unbound(CHANGE)
    for item in made:
        if name == "allow" and not item.expires_ms:
            detail = "what is on the allow list must expire, as exemptions do"
            raise CallerError("invalid_request", detail, pointer="/expires_at")
    if name in BUILT_IN:
        # First: nothing may stand there that no request is looked up for.
        await _use(gateway, f"@{name}", caller)
    await check_items(gateway, name, [item.digest for item in made])
    await gateway.lists.keep(made)
    await follow(gateway.lists, gateway.store)


async def put_one(gateway: Gateway, name: str, value: str, body: ItemBody, caller: Caller) -> Item:
    """Put one item on a list, or change of it what the body names. Raises CallerError."""
    before = await gateway.lists.find(name, _digests(gateway, name, value)[0])
    if before is not None and 0 < before.expires_ms <= gateway.clock.now_ms():
        before = None
    note, at = keep(body.note, before.note if before else "", ""), body.expires_at
    is_kept = isinstance(at, UnsetType)
    made = items(gateway, name, value, None if isinstance(at, UnsetType) else at, note, caller)
    if before is not None and is_kept:
        made = [replace(item, expires_ms=before.expires_ms) for item in made]
    await put(gateway, name, made, caller)
    return made[0]


def items(
    gateway: Gateway, name: str, value: str, expires_at: Time | None, note: str, caller: Caller
) -> list[Item]:
    """What is to stand on a list, in each spelling of its value. Raises CallerError."""
    now_ms = gateway.clock.now_ms()
    expires_ms = milliseconds(expires_at) or 0
    if expires_at is not None and expires_ms <= now_ms:
        raise CallerError("invalid_request", "it lies in the past", pointer="/expires_at")
    who = (caller.credential.id, now_ms)
    return [Item(name, d, expires_ms, note, *who) for d in _digests(gateway, name, value)]


async def remove(gateway: Gateway, name: str, value: str, caller: Caller) -> None:
    """Take something off a list. Raises 404 when it does not stand there."""
    await find(gateway, name, value, caller)
    who, digests = (caller.credential.id, gateway.clock.now_ms()), _digests(gateway, name, value)
    gone = [Item(name, digest, 0, "", *who, is_gone=True) for digest in digests]
    await gateway.lists.keep(gone)
    await follow(gateway.lists, gateway.store)


async def find(gateway: Gateway, name: str, value: str, caller: Caller) -> Item:
    """What is known of a value on a list. Raises 404 when it does not stand there (any more)."""
    caller.check_unbound(CHANGE)
    # The first is the one spelling that all others have, too.
    found = await gateway.lists.find(name, _digests(gateway, name, value)[0])
    if found is not None and not 0 < found.expires_ms <= gateway.clock.now_ms():
        return found
    raise CallerError("not_found", f"{value!r} is not on the list {name}", status=404)


def _digests(gateway: Gateway, name: str, value: str) -> list[str]:
    texts = texts_of(name, value, gateway.secret, lambda user: known_as(gateway, user))
    return [hashed(gateway.secret, text) for text in texts]


async def _use(gateway: Gateway, name: str, caller: Caller) -> None:
    """From its first item on a built-in list is looked up for every request."""
    for _ in range(ATTEMPTS):
        changes = await gateway.rulesets.changes()
        if name in declared(changes):
            first = next(change for change in changes if name in change.reads)
            since_s = (gateway.clock.now_ms() - first.at_ms) / 1000
            if since_s < TAKEN_OVER_S:
                await asyncio.sleep(TAKEN_OVER_S - max(0.0, since_s))
            return
        version = changes[-1].n if changes else 0
        author, now_ms = caller.credential.id, gateway.clock.now_ms()
        made = Change(0, "", USED, EVERYBODY, author, "", now_ms, (name,))
        if await gateway.rulesets.change(version, [made]):
            await gateway.rules.refresh()
            await asyncio.sleep(TAKEN_OVER_S)
            return
    raise Unavailable("too_many_changes", "others are changing the rules; try again")
