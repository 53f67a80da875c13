"""Whether the step-up check that an earlier decision asked for was passed by the same subject."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.core.decision import conclude
from gateway.core.entities import Lineage
from gateway.core.orders import Outcome
from gateway.core.reasons import Reason
from gateway.core.record import Asked
from gateway.flows.decisions import written
from gateway.flows.gateway import Gateway
from gateway.flows.risk import judge
from gateway.flows.settling import lineage_of
from gateway.wire import records

HOLDS_MS = 15 * 60_000
"""How long a passed check lifts challenges."""


async def is_passed(gateway: Gateway, decision_id: str, lineage: Lineage) -> bool:
    """Whether this decision challenged this subject not long ago. Raises Unavailable."""
    for of in await written(gateway, decision_id):
        if of.record is None or of.record.id != decision_id:
            continue
        _, out, asked = records.read(of.record.source)
        if isinstance(out, Outcome) and isinstance(asked, Asked):
            told = judge(await gateway.rules.of(asked), asked, out)
            return _is_challenge(*told, lineage, gateway.clock.now_ms())
    return False


def _is_challenge(asked: Asked, out: Outcome, lineage: Lineage, now_ms: int) -> bool:
    if replace(lineage_of(asked), run="") != replace(lineage, run=""):
        return False
    reasons = conclude(asked, out).reasons
    is_challenged = bool(reasons) and reasons[0].code == Reason.challenge_required
    return is_challenged and now_ms - out.now_ms <= HOLDS_MS
