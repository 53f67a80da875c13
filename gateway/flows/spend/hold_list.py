"""List holds, the newest first: from the ledger, each with its status in the store."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from gateway.core.holds import Hold, HoldStatus, status_at
from gateway.core.request_record import RequestRecord
from gateway.flows.shared.caller import Caller
from gateway.flows.spend import holds
from gateway.flows.spend.services import SpendServices
from gateway.ledger.reading import NO_ROW
from gateway.store import keys

AT_A_TIME = 500
MOST_LOOKED_AT = 5_000
"""Holds that one call looks up; where few match, the page is short and its cursor goes on."""
LEDGER_PATIENCE_S = 5.0


@dataclass(frozen=True)
class WantedHolds:
    """Filter: org and status ("" for any), at most `limit`, made before the row of a cursor."""

    org: str
    status: str
    limit: int
    before: int = NO_ROW


@dataclass(frozen=True)
class Listed:
    """A hold with its id, the request that made it, and the row of that in the ledger."""

    row: int
    id: str
    hold: Hold
    asked: RequestRecord


async def page(
    services: SpendServices, wanted: WantedHolds, caller: Caller
) -> tuple[list[Listed], int | None]:
    """Return the newest holds that are wanted, and the row to go on before (None: no more).

    Raises 404 for another org than the credential's, Unavailable without ledger or store.
    """
    org = wanted.org or caller.credential.org
    if org:
        caller.check_org(org)
        shard = keys.shard_of(org)
        await services.ledger.reach(shard, await services.store.last(shard), LEDGER_PATIENCE_S)
    found: list[Listed] = []
    before, looked_at = wanted.before, 0
    # Each one is a look into the store: without a status to filter by, all that are read are shown.
    size = AT_A_TIME if wanted.status else wanted.limit
    while looked_at < MOST_LOOKED_AT:
        made = await services.ledger.holds_made(org, before, size)
        for one in await asyncio.gather(*(_look_up(services, *one, caller) for one in made)):
            before = one.row
            if _status(one.hold, services.clock.now_ms()) == wanted.status or not wanted.status:
                found.append(one)
                if len(found) == wanted.limit:
                    return found, before
        looked_at += len(made)
        if len(made) < size:
            return found, None
    return found, before


async def _look_up(services: SpendServices, row: int, hold_id: str, caller: Caller) -> Listed:
    hold, asked = await holds.find(services, hold_id, caller)
    return Listed(row, hold_id, hold, asked)


def _status(hold: Hold, now_ms: int) -> str:
    return HoldStatus(status_at(hold.state, hold.expires_ms, now_ms)).name
