"""Check whether an earlier step-up challenge was passed by the same subject."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.core.commands import Outcome
from gateway.core.decision import conclude
from gateway.core.entities import Lineage
from gateway.core.reasons import Reason
from gateway.core.request_record import RequestRecord
from gateway.flows.books.decision_records import written
from gateway.flows.risk.judgement import judge
from gateway.flows.risk.services import RiskServices
from gateway.wire import records

HOLDS_MS = 15 * 60_000
"""Time in ms that a passed check lifts challenges."""


async def is_passed(services: RiskServices, decision_id: str, lineage: Lineage) -> bool:
    """Whether this decision challenged this subject not long ago. Raises Unavailable."""
    for of in await written(services, decision_id):
        if of.record is None or of.record.id != decision_id:
            continue
        _, out, asked = records.read(of.record.source)
        if isinstance(out, Outcome) and isinstance(asked, RequestRecord):
            told = judge(await services.rules.of(asked), asked, out)
            return _is_challenge(*told, lineage, services.clock.now_ms())
    return False


def _is_challenge(asked: RequestRecord, out: Outcome, lineage: Lineage, now_ms: int) -> bool:
    if replace(asked.lineage, run="") != replace(lineage, run=""):
        return False
    reasons = conclude(asked, out).reasons
    is_challenged = bool(reasons) and reasons[0].code == Reason.challenge_required
    return is_challenged and now_ms - out.now_ms <= HOLDS_MS
