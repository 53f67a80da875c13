"""Report what an org was charged."""

from __future__ import annotations

from gateway.flows.accounts.services import AccountServices
from gateway.flows.shared.caller import Caller
from gateway.wire.answers.balance import UsageAnswer, UsageRow
from gateway.wire.answers.base import rfc3339

DAY_MS = 86_400_000


async def usage(
    services: AccountServices,
    org: str,
    span: tuple[int, int],
    group_by: tuple[str, ...],
    caller: Caller,
) -> UsageAnswer:
    """Report the charges of an org in [from, to), grouped by product and day (UTC)."""
    caller.check_org(org)
    rows = await services.ledger.usage(org, span[0], span[1], group_by)
    for row in rows:
        if "day" in row:
            row["day"] = rfc3339(row["day"] * DAY_MS)[:10]
    return UsageAnswer(rows=[UsageRow(**row) for row in rows])
