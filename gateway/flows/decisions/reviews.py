"""List decisions that wait for review; a review ends with a label."""

from __future__ import annotations

from gateway.catalog.labels import Label
from gateway.catalog.rule_matches import Review
from gateway.core.commands import Outcome
from gateway.core.names import join
from gateway.core.request_record import RequestRecord
from gateway.errors import CallerError
from gateway.flows.books import decision_records
from gateway.flows.decisions.services import DecisionServices
from gateway.flows.risk.events import record_label
from gateway.flows.risk.judgement import judge
from gateway.flows.shared.caller import Caller
from gateway.wire import records
from gateway.wire.requests.risk import ReviewBody

SEE = "see the reviews of all"
FIRST = (0, "")
"""Begin of the queue: a time (Unix ms) and a decision."""


async def waiting(
    services: DecisionServices, after: tuple[int, str], limit: int, caller: Caller
) -> list[Review]:
    """List decisions that wait for review, oldest first, after a place in the queue."""
    caller.check_unbound(SEE)
    return await services.matches.reviews(after, limit)


async def resolve(
    services: DecisionServices, decision_id: str, body: ReviewBody, caller: Caller
) -> tuple[Label, bool]:
    """End a review, once; and whether the same was said before.

    Raises CallerError: 404 for what was never up for review, 409 where another ended it.
    """
    row, _ = await decision_records.find(services, decision_id, caller)
    _, out, asked = records.read(row.source)
    assert isinstance(out, Outcome) and isinstance(asked, RequestRecord)
    judged, _ = judge(await services.rules.of(asked), asked, out)
    if judged.risk is None or judged.risk.action != "review":
        detail = f"{decision_id} is not up for review; label it with POST /v1/labels"
        raise CallerError("not_found", detail)
    now_ms, author = services.clock.now_ms(), caller.credential.id
    once, note = join("review", row.id), body.note or ""
    made = Label(row.id, body.label, now_ms, now_ms, author, once, note=note)
    kept = await services.labels.add(made)
    if (kept.author, kept.label) != (author, body.label):
        detail = f"{kept.author} found it to be {kept.label}; POST /v1/labels corrects that"
        raise CallerError("already_reviewed", detail)
    await record_label(services, asked, kept, caller)
    return kept, kept is not made
