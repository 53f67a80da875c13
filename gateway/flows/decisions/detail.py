"""Show one decision: request, answer, charges and postings."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from msgspec import json

from gateway.catalog.labels import Label
from gateway.core.commands import Mode, Outcome
from gateway.core.decision import conclude
from gateway.core.entities import Lineage
from gateway.core.facts import tallied_of
from gateway.core.request_record import RequestRecord, Risk
from gateway.core.terms import signal_entities
from gateway.flows.books.decision_records import find
from gateway.flows.decisions.services import DecisionServices
from gateway.flows.risk.compile_process import explain_elsewhere
from gateway.flows.risk.judgement import facts_after, judge, with_shadows
from gateway.flows.risk.scoring import thresholds_of
from gateway.flows.shared.caller import Caller
from gateway.ledger.batch import RecordRow, Stored
from gateway.ledger.reader import DECISIONS, hold_from
from gateway.wire import records
from gateway.wire.answers.base import rfc3339
from gateway.wire.answers.decision_detail import (
    AskedPart,
    ChargePart,
    DecisionAnswer,
    Event,
    LabelAnswer,
    Movement,
    Place,
    RiskPart,
    ScorePart,
    ShadowPart,
    account_name,
)
from gateway.wire.answers.spend import authorize_answer, hold_answer, subject_of

_quantity = json.Decoder(dict[str, int])


async def get(services: DecisionServices, decision_id: str, caller: Caller) -> DecisionAnswer:
    """A decision with everything that followed from it. Raises 404."""
    record, stored = await find(services, decision_id, caller)
    found = [of.record for of in stored if of.record is not None]
    _, out, asked = records.read(record.source)
    assert isinstance(out, Outcome) and isinstance(asked, RequestRecord)
    whole, told = judge(await services.rules.of(asked), asked, out)
    judged = with_shadows(await services.rules.shadows_of(asked), whole, out), told
    labels = await services.labels.of_decision(record.id)
    score = await score_part(services, *judged)
    return _story(record, (*judged, score), stored, found, labels, services.clock.now_ms())


def _story(
    record: RecordRow,
    judged: tuple[RequestRecord, Outcome, ScorePart | None],
    stored: list[Stored],
    found: list[RecordRow],
    labels: list[Label],
    now_ms: int,
) -> DecisionAnswer:
    decoded = [records.read(row.source) for row in found]
    asked, out, score = judged
    hold = hold_from(decoded) if record.hold else None
    return DecisionAnswer(
        id=record.id,
        kind=record.kind,
        decided=Place(**_place(record)),
        asked=_asked(asked),
        answer=authorize_answer(conclude(asked, out)),
        signals=_signals(asked, out),
        tallies=tallied_of(asked, out),
        risk=risk_part(asked.risk),
        scoring=score,
        hold=hold_answer(record.hold, *hold, now_ms) if hold else None,
        events=[_event(row) for row in found],
        charges=[part for of in stored for part in _charges(of)],
        movements=[part for of in stored for part in _movements(of)],
        labels=[label_part(label) for label in labels],
    )


def _place(row: RecordRow) -> dict[str, Any]:
    """A record's position, as the fields of a Place."""
    at = rfc3339(row.at_ms)
    return {"row": row.row, "shard": row.shard, "epoch": row.epoch, "seq": row.seq, "at": at}


def _asked(asked: RequestRecord) -> AskedPart:
    terms = asked.terms
    return AskedPart(
        subject=subject_of(terms),
        product=terms.product,
        mode=Mode(asked.mode).name.lower(),
        quantity=asked.quantity,
        amount_micros=asked.amount,
        run=asked.run or None,
        context=dict(asked.context),
        credential=asked.caller,
        versions=list(terms.versions),
        tags=asked.tags,
    )


async def score_part(
    services: DecisionServices, asked: RequestRecord, out: Outcome
) -> ScorePart | None:
    """Explain a score: the vector, and what each feature contributed."""
    risk = asked.risk
    scoring = risk.scoring if risk is not None else None
    if risk is None or scoring is None or scoring.score is None:
        return None
    served = await services.rules.served(scoring.model)
    stored = await services.models.find(scoring.model)
    assert stored is not None, "nothing removes a model"
    vector = served.assembler.vector(facts_after(asked, out, risk.at_ms))
    average, added = await asyncio.to_thread(explain_elsewhere, stored.text, vector)
    by_weight = sorted(zip(served.features, added, strict=True), key=lambda one: -abs(one[1]))
    values = zip(served.features, vector, strict=True)
    return ScorePart(
        model=scoring.model,
        score=scoring.score,
        thresholds=thresholds_of(scoring.cuts),
        reasons=list(scoring.reasons),
        features={name: None if math.isnan(value) else value for name, value in values},
        expected=average,
        contributions=dict(by_weight),
    )


def risk_part(risk: Risk | None) -> RiskPart | None:
    """Present an assessment to callers."""
    if risk is None:
        return None
    return RiskPart(
        ruleset=risk.ruleset or None,
        at=rfc3339(risk.at_ms),
        action=risk.action or None,
        rules=list(risk.rules),
        unknown=risk.unknown,
        shadows=[
            ShadowPart(ruleset=s.ruleset, action=s.action, rules=list(s.rules))
            for s in risk.shadows
        ],
        degraded=risk.is_degraded,
        model=risk.model or None,
        score=risk.score,
    )


def label_part(label: Label) -> LabelAnswer:
    """Present a label to callers."""
    return LabelAnswer(
        decision=label.decision,
        label=label.label,
        observed_at=rfc3339(label.observed_ms),
        recorded_at=rfc3339(label.recorded_ms),
        author=label.author,
        note=label.note or None,
    )


def _signals(asked: RequestRecord, out: Outcome) -> dict[str, list[int]]:
    """By entity: attempts and micros of the last minute, hour and day before this request."""
    terms = asked.terms
    entities = signal_entities(Lineage(terms.org, terms.project, terms.user, terms.key))
    numbers = [out.signals[i : i + 6] for i in range(0, len(out.signals), 6)]
    names = {"o": "org", "u": "user", "k": "key"}
    return {names[e[:1]]: six for e, six in zip(entities, numbers, strict=False)}


def _event(row: RecordRow) -> Event:
    status = row.reason
    if row.kind in DECISIONS:
        status = "allow" if row.allowed else "deny"
    return Event(kind=row.kind, id=row.id, status=status, **_place(row))


def _charges(of: Stored) -> list[ChargePart]:
    charge, row = of.charge, of.record
    if charge is None or row is None:
        return []
    return [
        ChargePart(
            product=charge.product,
            currency=charge.currency,
            captured_micros=charge.captured_micros,
            shortfall_micros=charge.shortfall_micros,
            quantity=_quantity.decode(charge.quantity),
            **_place(row),
        )
    ]


def _movements(of: Stored) -> list[Movement]:
    if of.record is None:
        return []
    place = _place(of.record)
    return [
        Movement(
            debit=account_name(p.posting.debit),
            credit=account_name(p.posting.credit),
            amount_micros=p.posting.amount_micros,
            **place,
        )
        for p in of.postings
    ]
