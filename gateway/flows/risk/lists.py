"""Put and remove list items.

The catalog has only the keyed hash of a value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import UnsetType
from msgspec.structs import replace

from gateway.catalog.declared_counters import BUILT_IN, declared
from gateway.catalog.lists import Item
from gateway.catalog.policy_log import EVERYBODY, USED, Change
from gateway.errors import CallerError, Unavailable
from gateway.flows.risk.list_keys import texts_of
from gateway.flows.risk.list_sync import follow
from gateway.flows.risk.policies import TAKEN_OVER_S
from gateway.flows.risk.services import RiskServices
from gateway.flows.shared.bounds import too_many
from gateway.flows.shared.caller import Caller
from gateway.flows.shared.pseudonyms import hashed
from gateway.flows.shared.user_ids import known_as
from gateway.wire.decode import keep, milliseconds
from gateway.wire.fields import Time
from gateway.wire.requests.risk import ItemBody

CHANGE = "change the lists of all"
ATTEMPTS = 10


async def put(services: RiskServices, name: str, made: Sequence[Item], caller: Caller) -> None:
    """Put items on a list: they count from now on. Raises CallerError or Unavailable."""
    caller.check_unbound(CHANGE)
    for item in made:
        if name == "allow" and not item.expires_ms:
            detail = "what is on the allow list must expire, as exemptions do"
            raise CallerError("invalid_request", detail, pointer="/expires_at")
    if name in BUILT_IN:
        # First: nothing may stand there that no request is looked up for.
        await _use(services, f"@{name}", caller)
    await check_items(services, name, [item.digest for item in made])
    await services.lists.keep(made)
    await follow(services.lists, services.store)


async def put_one(
    services: RiskServices, name: str, value: str, body: ItemBody, caller: Caller
) -> Item:
    """Put one item on a list, or change of it what the body names. Raises CallerError."""
    before = await services.lists.find(name, _digests(services, name, value)[0])
    if before is not None and 0 < before.expires_ms <= services.clock.now_ms():
        before = None
    note, at = keep(body.note, before.note if before else "", ""), body.expires_at
    is_kept = isinstance(at, UnsetType)
    made = items(services, name, value, None if isinstance(at, UnsetType) else at, note, caller)
    if before is not None and is_kept:
        made = [replace(item, expires_ms=before.expires_ms) for item in made]
    await put(services, name, made, caller)
    return made[0]


def items(
    services: RiskServices,
    name: str,
    value: str,
    expires_at: Time | None,
    note: str,
    caller: Caller,
) -> list[Item]:
    """Make the items for a value, one for each spelling of it. Raises CallerError."""
    now_ms = services.clock.now_ms()
    expires_ms = milliseconds(expires_at) or 0
    if expires_at is not None and expires_ms <= now_ms:
        raise CallerError("invalid_request", "it lies in the past", pointer="/expires_at")
    who = (caller.credential.id, now_ms)
    return [Item(name, d, expires_ms, note, *who) for d in _digests(services, name, value)]


async def remove(services: RiskServices, name: str, value: str, caller: Caller) -> None:
    """Remove an item from a list. Raises 404 when it is not on it."""
    await find(services, name, value, caller)
    who, digests = (caller.credential.id, services.clock.now_ms()), _digests(services, name, value)
    gone = [Item(name, digest, 0, "", *who, is_gone=True) for digest in digests]
    await services.lists.keep(gone)
    await follow(services.lists, services.store)


async def find(services: RiskServices, name: str, value: str, caller: Caller) -> Item:
    """Find an item by its value. Raises 404 when it is not on the list, or has expired."""
    caller.check_unbound(CHANGE)
    # The first is the one spelling that all others have, too.
    found = await services.lists.find(name, _digests(services, name, value)[0])
    if found is not None and not 0 < found.expires_ms <= services.clock.now_ms():
        return found
    raise CallerError("not_found", f"{value!r} is not on the list {name}")


async def counts(services: RiskServices, caller: Caller) -> dict[str, int]:
    """Count the items of each list; one value may be on a list in several spellings."""
    caller.check_unbound(CHANGE)
    return await services.lists.counts(services.clock.now_ms())


def _digests(services: RiskServices, name: str, value: str) -> list[str]:
    texts = texts_of(name, value, services.secret, lambda user: known_as(services, user))
    return [hashed(services.secret, text) for text in texts]


async def _use(services: RiskServices, name: str, caller: Caller) -> None:
    """From its first item on a built-in list is looked up for every request."""
    for _ in range(ATTEMPTS):
        changes = await services.rulesets.changes()
        if name in declared(changes):
            first = next(change for change in changes if name in change.reads)
            since_s = (services.clock.now_ms() - first.at_ms) / 1000
            if since_s < TAKEN_OVER_S:
                await asyncio.sleep(TAKEN_OVER_S - max(0.0, since_s))
            return
        version = changes[-1].n if changes else 0
        author, now_ms = caller.credential.id, services.clock.now_ms()
        made = Change(0, "", USED, EVERYBODY, author, "", now_ms, (name,))
        if await services.rulesets.change(version, [made]):
            await services.rules.refresh()
            await asyncio.sleep(TAKEN_OVER_S)
            return
    raise Unavailable("too_many_changes", "others are changing the rules; try again")


async def check_items(services: RiskServices, name: str, digests: Sequence[str]) -> None:
    """Raise CallerError where these would be too many items of a list; changing one adds none."""
    most = services.settings.most_list_items
    added = len(set(digests)) - await services.lists.count(name, digests)
    if added and await services.lists.count(name) + added > most:
        raise too_many(f"items of the list {name}", most)
