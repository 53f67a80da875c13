"""The handler of the audit log."""

from __future__ import annotations

from gateway.catalog.audit import AuditQuery
from gateway.flows.accounts import audit
from gateway.http.endpoint import Answered, Call
from gateway.http.query import number_after, org_in, page_limit_in, time_in
from gateway.http.services import Services
from gateway.wire.answers.audit import AuditAnswer, audit_answer
from gateway.wire.answers.base import PageAnswer


async def get_audit(services: Services, call: Call[None]) -> Answered[PageAnswer[AuditAnswer]]:
    """GET /v1/audit."""
    query, limit = call.query, page_limit_in(call.query.get("limit"))
    wanted = AuditQuery(
        org_in(query.get("org")),
        query.get("actor", ""),
        time_in(query.get("from"), "from", 0),
        time_in(query.get("to"), "to", 0),
        number_after(query.get("cursor")),
    )
    found = await audit.page(services, wanted, limit, call.caller)
    cursor = str(found[-1].n) if len(found) == limit else None
    return Answered(PageAnswer(data=[audit_answer(row) for row in found], next_cursor=cursor))
