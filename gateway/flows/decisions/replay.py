"""Decide again from a record alone: same request, same readings, same policy versions."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from gateway.catalog.policy_log import EVERYBODY
from gateway.core.commands import Outcome
from gateway.core.decision import RISK_REASONS, conclude
from gateway.core.redecide import decided_again
from gateway.core.request_record import RequestRecord, Risk
from gateway.flows.books import decision_records
from gateway.flows.decisions.services import DecisionServices
from gateway.flows.risk.assessment import assess, lift_challenge
from gateway.flows.risk.judgement import judge, with_shadows
from gateway.flows.risk.policies import Cited, Policies
from gateway.flows.shared.caller import Caller
from gateway.wire import records
from gateway.wire.answers.spend import AuthorizeAnswer, authorize_answer
from rules.engine import Phased


@dataclass(frozen=True)
class Replayed:
    """The answer and the assessment as they were recorded, and as they are made again."""

    recorded: tuple[AuthorizeAnswer, Risk | None]
    again: tuple[AuthorizeAnswer, Risk | None]

    @property
    def is_same(self) -> bool:
        """Whether both are equal to the last micro-unit and the last rule."""
        return self.recorded == self.again


async def replay(services: DecisionServices, decision_id: str, caller: Caller) -> Replayed:
    """Make a decision again; nothing is asked of the store, nothing changes. Raises 404."""
    row, _ = await decision_records.find(services, decision_id, caller)
    _, out, asked = records.read(row.source)
    assert isinstance(out, Outcome) and isinstance(asked, RequestRecord)
    cited, shadows = await services.rules.of(asked), await services.rules.shadows_of(asked)
    return replayed(asked, out, cited, shadows)


def replayed(
    asked: RequestRecord, out: Outcome, cited: Cited, shadows: tuple[Phased, ...]
) -> Replayed:
    """A record's decision, and the same made again by what it cites. Pure."""
    fresh, risk = asked, asked.risk
    if risk is not None:
        fresh = replace(
            asked,
            risk=None,
            refusals=tuple(r for r in asked.refusals if r.code not in RISK_REASONS),
        )
        active = ((cited.rules, EVERYBODY),) if cited.rules is not None else ()
        policies = Policies(risk.version, active, shadows, scoring=risk.scoring)
        assess(policies, fresh, risk.at_ms)
        if risk.is_lifted and fresh.risk is not None:
            lift_challenge(fresh)
    parts = ((asked, out), (fresh, decided_again(fresh, out)))
    recorded, again = (_answered(*part, cited, shadows) for part in parts)
    return Replayed(recorded, again)


def _answered(
    asked: RequestRecord, out: Outcome, cited: Cited, shadows: tuple[Phased, ...]
) -> tuple[AuthorizeAnswer, Risk | None]:
    judged, told = judge(cited, asked, out)
    whole = with_shadows(shadows, judged, out)
    return authorize_answer(conclude(whole, told)), whole.risk
