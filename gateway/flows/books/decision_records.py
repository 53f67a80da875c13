"""Read the ledger's records of one decision."""

from __future__ import annotations

from gateway.core import ids
from gateway.errors import CallerError
from gateway.flows.shared.caller import Caller
from gateway.flows.shared.services import SharedServices
from gateway.ledger.batch import RecordRow, Stored

CATCH_UP_S = 2.0
"""Time in s that a record may take to reach the ledger."""


async def find(
    services: SharedServices, decision_id: str, caller: Caller
) -> tuple[RecordRow, list[Stored]]:
    """Find a decision's own record, and all records under its id. Raises 404."""
    stored = await written(services, decision_id)
    for record in (of.record for of in stored if of.record is not None):
        bound = caller.credential.org
        if record.id == decision_id and bound in ("", record.org):
            return record, stored
    raise CallerError("not_found", f"there is no decision {decision_id}")


async def written(services: SharedServices, decision_id: str) -> list[Stored]:
    """The decision's records; those that are on their way to the ledger are waited for."""
    shard = ids.shard_in(decision_id)
    if shard is None:
        return []
    await services.ledger.reach(shard, await services.store.last(shard), CATCH_UP_S)
    return await services.ledger.story(decision_id)
