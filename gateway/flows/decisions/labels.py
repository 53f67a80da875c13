"""Label decisions as fraud or good."""

from __future__ import annotations

from gateway.catalog.labels import Label
from gateway.core.request_record import RequestRecord
from gateway.errors import CallerError
from gateway.flows.books import decision_records
from gateway.flows.decisions.services import DecisionServices
from gateway.flows.risk.events import CLOCKS_DIFFER_MS, record_label
from gateway.flows.shared.caller import Caller
from gateway.flows.shared.replies import reused
from gateway.wire import records
from gateway.wire.decode import milliseconds
from gateway.wire.requests.risk import LabelBody


async def page(
    services: DecisionServices, decision: str, before: int, limit: int, caller: Caller
) -> list[tuple[int, Label]]:
    """List labels, the newest first, of one decision or of all ("").

    A credential bound to an org names the decision. Raises CallerError 403 and 404.
    """
    if decision:
        await decision_records.find(services, decision, caller)
    else:
        caller.check_unbound("list the labels of all")
    return await services.labels.page(decision, before, limit)


async def add(services: DecisionServices, body: LabelBody, caller: Caller) -> tuple[Label, bool]:
    """Label a decision. Returns the label, and whether a call under the same key had set it.

    Raises CallerError: 404 without such a decision, 422 where it was observed before it was made
    or in the future.
    """
    row, _ = await decision_records.find(services, body.decision, caller)
    if row.kind != "authorize":
        detail = f"{row.id} added to a hold; label the decision that made it"
        raise CallerError("invalid_request", detail, pointer="/decision")
    now_ms = services.clock.now_ms()
    observed_ms = milliseconds(body.observed_at)
    if observed_ms is None:
        observed_ms = now_ms
    elif observed_ms > now_ms + CLOCKS_DIFFER_MS:
        raise CallerError("invalid_request", "it lies in the future", pointer="/observed_at")
    elif observed_ms < row.at_ms - CLOCKS_DIFFER_MS:
        raise CallerError(
            "invalid_request", "it lies before the decision was made", pointer="/observed_at"
        )
    once = caller.idempotency("", body, 0)
    digest = once.digest.hex() if once else None
    made = Label(
        row.id,
        body.label,
        observed_ms,
        now_ms,
        caller.credential.id,
        once.name if once else None,
        digest,
        body.note or "",
    )
    kept = await services.labels.add(made)
    if kept.digest != digest:
        raise reused()
    _, _, asked = records.read(row.source)
    assert isinstance(asked, RequestRecord)
    await record_label(services, asked, kept, caller)
    return kept, kept is not made
