"""Read the grants of an org: open, spent, expired and voided ones."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.core.commands import Moved
from gateway.core.entities import Grant
from gateway.core.request_record import AdminNote
from gateway.errors import CallerError
from gateway.flows.accounts.reads import Page, Wanted, not_found, org_terms
from gateway.flows.accounts.services import AccountServices
from gateway.flows.shared.caller import Caller
from gateway.store import keys
from gateway.wire import records

LEDGER_PATIENCE_S = 5.0
_cursor = re.compile(r"([0-9]{1,15}):([A-Za-z0-9_]{1,128})")
STATUSES = ("pending", "active", "spent", "expired", "voided")


@dataclass(frozen=True)
class GrantState:
    """A grant, what is left of it (micros), and one of STATUSES."""

    grant: Grant
    remaining: int
    status: str

    @property
    def id(self) -> str:
        """The grant's id."""
        return self.grant.id

    @property
    def metadata(self) -> dict[str, str]:
        """The grant's metadata."""
        return self.grant.metadata


async def grants(
    services: AccountServices, org: str, wanted: Wanted, caller: Caller
) -> Page[GrantState]:
    """List the grants of an org, the newest first. Raises 404 without the org.

    One that ended is listed as long as the ledger keeps the record that made it.
    """
    await org_terms(services, org, caller)
    after = _place_in(wanted.after) if wanted.after else None
    found = [one for one in await _all(services, org) if wanted.selects(one)]
    if after is not None:
        found = [one for one in found if _place(one) < after]
    page = found[: wanted.limit]
    is_last = len(page) == len(found)
    return Page(page, None if is_last else "{}:{}".format(*_place(page[-1])))


async def grant(services: AccountServices, org: str, name: str, caller: Caller) -> GrantState:
    """Find a grant of an org. Raises 404."""
    await org_terms(services, org, caller)
    for one in await _all(services, org):
        if one.id == name:
            return one
    raise not_found(f"grant {name}")


def _place(one: GrantState) -> tuple[int, str]:
    return one.grant.created_ms, one.id


def _place_in(cursor: str) -> tuple[int, str]:
    found = _cursor.fullmatch(cursor)
    if found is None:
        detail = "cursor is not one that was answered here"
        raise CallerError("invalid_request", detail, parameter="cursor")
    return int(found[1]), found[2]


async def _all(services: AccountServices, org: str) -> list[GrantState]:
    """All grants, the newest first: those that live are in the store, all in the ledger."""
    shard = keys.shard_of(org)
    _, metas = await services.store.grants(org)
    await services.ledger.reach(shard, await services.store.last(shard), LEDGER_PATIENCE_S)
    now_ms = services.clock.now_ms()
    open_ones = [(records.decode_grant(meta), left) for meta, left in metas]
    found = {
        grant.id: GrantState(grant, max(0, left), _open_status(grant, left, now_ms))
        for grant, left in open_ones
    }
    voided: set[str] = set()
    for line in await services.ledger.grant_records(org):
        out, note = records.decode(line)
        assert isinstance(out, Moved)
        if line.kind == "void":
            voided.add(out.id)
        elif isinstance(note, AdminNote) and note.grant is not None and out.id not in found:
            found[out.id] = GrantState(note.grant, 0, "expired")
    ended = {name: GrantState(found[name].grant, 0, "voided") for name in voided if name in found}
    return sorted((found | ended).values(), key=_place, reverse=True)


def _open_status(grant: Grant, left: int, now_ms: int) -> str:
    if grant.effective_ms is not None and now_ms < grant.effective_ms:
        return "pending"
    if grant.expires_ms is not None and now_ms >= grant.expires_ms:
        return "expired"
    return "active" if left > 0 else "spent"
