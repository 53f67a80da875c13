"""Refuse to activate a model that would deny too many of the last day's requests."""

from __future__ import annotations

from gateway.catalog.policy_log import Cuts
from gateway.core.windows import DAY_MS
from gateway.errors import CallerError
from gateway.flows.risk.scoring import thresholds_of
from gateway.flows.rollout.compare_models import COLLECTED, Compared, look
from gateway.flows.rollout.services import RolloutServices
from gateway.wire.requests.risk import ActivateModelBody
from models.drift import ALARM, SCORE
from models.serving import Served

STOPS = ("block", "challenge")


async def check_blast(
    services: RolloutServices, served: Served, cuts: Cuts, body: ActivateModelBody
) -> None:
    """Raise CallerError where a model would deny too much, or saw other traffic in training.

    `force` skips the check and needs a note, as with rule sets.
    """
    if body.force:
        if not body.note:
            detail = "force needs a note that says why"
            raise CallerError("invalid_request", detail, pointer="/note")
        return
    now_ms = services.clock.now_ms()
    async with services.comparing:
        found = await look(
            services, served, thresholds_of(cuts), (now_ms - DAY_MS, now_ms + DAY_MS)
        )
    if found is None or found.requests < COLLECTED:
        # Too few to tell chance from a fault.
        return
    faults = _faults(found.models[0], found.requests, services.settings.rules_most_stopped_percent)
    if faults:
        detail = f"{'; '.join(faults)}: force it with a note, or train it anew"
        raise CallerError("blast_radius", detail)


def _faults(one: Compared, requests: int, most_percent: int) -> list[str]:
    stopped = max((one.reached[a][0] for a in STOPS if a in one.reached), default=0)
    faults = []
    if 100 * stopped > most_percent * requests:
        faults.append(
            f"of the last day's {requests} requests that were looked at it would stop {stopped},"
            f" more than {most_percent} %"
        )
    drift = one.drift.get(SCORE, 0.0)
    if drift > ALARM:
        faults.append(
            f"its scores differ from those it was trained on (index {drift:.2f}, alarm {ALARM})"
        )
    return faults
