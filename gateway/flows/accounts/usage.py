"""Report what an org was charged."""

from __future__ import annotations

from typing import Any

from gateway.flows.accounts.services import AccountServices
from gateway.flows.shared.caller import Caller
from gateway.wire.answers.base import rfc3339


async def usage(
    services: AccountServices,
    org: str,
    span: tuple[int, int],
    group_by: tuple[str, ...],
    caller: Caller,
) -> dict[str, Any]:
    """What an org was charged in [from, to), grouped by product and day (UTC)."""
    caller.check_org(org)
    rows = await services.ledger.usage(org, span[0], span[1], group_by)
    for row in rows:
        if "day" in row:
            row["day"] = rfc3339(row["day"] * 86_400_000)[:10]
    return {"rows": rows}
