"""The queue of decisions to look at, and what was found: a review ends with a label."""

from __future__ import annotations

from gateway.catalog.labels import Label
from gateway.catalog.matches import Review
from gateway.core.names import join
from gateway.core.orders import Outcome
from gateway.core.record import Asked
from gateway.errors import CallerError
from gateway.flows import decisions
from gateway.flows.events import tell_label
from gateway.flows.gateway import Caller, Gateway
from gateway.flows.risk import judge
from gateway.wire import records
from gateway.wire.messages import ReviewBody

SEE = "see the reviews of all"
FIRST = (0, "")
"""Where the queue begins: a moment (Unix ms) and a decision."""


async def waiting(
    gateway: Gateway, after: tuple[int, str], limit: int, caller: Caller
) -> list[Review]:
    """Decisions up for review behind a place in the queue, oldest first."""
    caller.check_unbound(SEE)
    return await gateway.matches.reviews(after, limit)


async def resolve(
    gateway: Gateway, decision_id: str, body: ReviewBody, caller: Caller
) -> tuple[Label, bool]:
    """End a review, once; and whether the same was said before.

    Raises CallerError: 404 for what was never up for review, 409 where another ended it.
    """
    row, _ = await decisions.find(gateway, decision_id, caller)
    _, out, asked = records.read(row.source)
    assert isinstance(out, Outcome) and isinstance(asked, Asked)
    judged, _ = judge(await gateway.rules.of(asked), asked, out)
    if judged.risk is None or judged.risk.action != "review":
        detail = f"{decision_id} is not up for review; label it with POST /v1/labels"
        raise CallerError("not_found", detail, status=404)
    now_ms, author = gateway.clock.now_ms(), caller.credential.id
    once, note = join("review", row.id), body.note or ""
    made = Label(row.id, body.label, now_ms, now_ms, author, once, note=note)
    kept = await gateway.labels.add(made)
    if (kept.author, kept.label) != (author, body.label):
        detail = f"{kept.author} found it to be {kept.label}; POST /v1/labels corrects that"
        raise CallerError("already_reviewed", detail, status=409)
    await tell_label(gateway, asked, kept, caller)
    return kept, kept is not made
