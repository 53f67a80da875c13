"""Read the audit log."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.catalog.audit import AuditQuery
from gateway.core.audit import AuditRow
from gateway.errors import CallerError
from gateway.flows.accounts.services import AccountServices
from gateway.flows.shared.caller import Caller


async def page(
    services: AccountServices, query: AuditQuery, limit: int, caller: Caller
) -> list[AuditRow]:
    """List changes, the newest first; a credential bound to one org sees those of it alone."""
    bound = caller.credential.org
    if bound and query.org not in ("", bound):
        raise CallerError("not_found", f"there is no org {query.org} for you")
    return await services.audit.page(replace(query, org=bound or query.org), limit)
