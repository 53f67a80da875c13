"""Answers about spending: one struct each, made from a decision."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from gateway.core.commands import Ended, Mode, Moved
from gateway.core.decision import RISK_REASONS, Decision, LimitState
from gateway.core.holds import Hold, status_at
from gateway.core.reasons import Reason
from gateway.core.request_record import RecordedTerms, RequestRecord
from gateway.core.sources import source_label
from gateway.core.windows import FOREVER_MS
from gateway.wire.answers.base import Answer, rfc3339


class ReasonAnswer(Answer):
    """Why: a code, what it comes from, and a sentence for a person."""

    code: str
    id: str | None
    detail: str


class HoldPart(Answer):
    """Money set aside for this request."""

    id: str
    amount_micros: int
    expires_at: str


class QuoteLine(Answer):
    """One unit of a quote."""

    unit: str
    quantity: int
    price_micros_per_million: int


class QuoteAnswer(Answer):
    """Price of the request, and the price version it is made by."""

    amount_micros: int
    currency: str
    rate_card: str | None
    lines: list[QuoteLine]
    discount_bps: int = 0


class DrawAnswer(Answer):
    """Money taken from one source."""

    source: str
    amount_micros: int


class BalancePart(Answer):
    """The org's funds after this decision."""

    available_micros: int
    held_micros: int


class LimitAnswer(Answer):
    """A cap or rate limit that applied, after this decision, in its `unit`.

    A limit that slides counts what is on hold as used.
    """

    id: str
    kind: str
    level: str
    mode: str
    unit: str
    limit: int
    used: int
    held: int
    remaining: int
    resets_at: str | None
    remaining_micros: int | UnsetType = UNSET
    limit_micros: int | UnsetType = UNSET


class RiskAnswer(Answer):
    """Assessment of the request; nulls where no policy is in force."""

    score: float | None = None
    rules: list[str] = []
    ruleset: str | None = None
    model: str | None = None
    review: bool = False


class AuthorizeAnswer(Answer):
    """A decision. A denial is an answer, not an error."""

    id: str
    decision: str
    reasons: list[ReasonAnswer]
    status_hint: int
    hold: HoldPart | None
    quote: QuoteAnswer
    draws: list[DrawAnswer]
    granted_quantity: dict[str, int] | None
    balance: BalancePart
    limits: list[LimitAnswer]
    risk: RiskAnswer
    degraded: bool
    retry_after_s: int | UnsetType = UNSET
    max_affordable_micros: int | UnsetType = UNSET


class EndAnswer(Answer):
    """End of a hold: captured, released and missing amounts."""

    id: str
    status: str
    captured_micros: int
    released_micros: int
    shortfall_micros: int
    late: bool
    draws: list[DrawAnswer]


class HoldAnswer(Answer):
    """A hold with its current status."""

    id: str
    status: str
    late: bool
    subject: dict[str, str]
    product: str
    amount_micros: int
    captured_micros: int
    released_micros: int
    shortfall_micros: int
    created_at: str
    expires_at: str
    ended_at: str | None
    draws: list[DrawAnswer]
    quote: QuoteAnswer


class GrantAnswer(Answer):
    """A grant that was made."""

    id: str
    kind: str
    amount_micros: int
    remaining_micros: int
    settled_shortfall_micros: int


class VoidAnswer(Answer):
    """A grant that was voided, and what was left of it."""

    id: str
    voided_micros: int


class AdjustmentAnswer(Answer):
    """Result of an adjustment."""

    kind: str
    amount_micros: int
    shortfall_micros: int
    available_micros: int


def _or_none(ms: int) -> str | None:
    return rfc3339(ms) if 0 < ms < FOREVER_MS else None


def _quote(asked: RequestRecord) -> QuoteAnswer:
    price, lines = asked.terms.price, []
    if price is not None and asked.quantity is not None:
        lines = [
            QuoteLine(unit=u, quantity=n, price_micros_per_million=price.units[u])
            for u, n in asked.quantity.items()
        ]
    return QuoteAnswer(
        amount_micros=asked.amount,
        currency=asked.terms.currency,
        rate_card=f"{price.card}@{price.version}" if price is not None else None,
        lines=lines,
        discount_bps=price.discount_bps if price is not None else 0,
    )


def _limit(state: LimitState) -> LimitAnswer:
    is_money = state.is_money
    return LimitAnswer(
        id=state.id,
        kind=state.kind,
        level=state.level,
        mode=state.mode,
        unit=state.unit,
        limit=state.limit,
        used=state.used,
        held=state.held,
        remaining=state.remaining,
        resets_at=_or_none(state.resets_ms),
        remaining_micros=state.remaining if is_money else UNSET,
        limit_micros=state.limit if is_money else UNSET,
    )


def word_of(decision: Decision) -> str:
    """allow, deny or challenge."""
    if decision.allowed:
        return "allow"
    is_challenged = [r.code for r in decision.reasons[:1]] == [Reason.challenge_required]
    return "challenge" if is_challenged else "deny"


def _risk(decision: Decision) -> RiskAnswer:
    risk = decision.asked.risk
    # Of what account, price or money refuse, no assessment is told.
    is_other = any(reason.code not in RISK_REASONS for reason in decision.reasons)
    if risk is None or is_other:
        return RiskAnswer()
    return RiskAnswer(
        score=risk.score,
        rules=list(risk.rules),
        ruleset=risk.ruleset or None,
        model=risk.model or None,
        review=risk.action == "review",
    )


def authorize_answer(decision: Decision) -> AuthorizeAnswer:
    """The answer to an authorize or extend."""
    asked, hold = decision.asked, None
    if decision.allowed and asked.mode == Mode.HOLD and not asked.settles_itself:
        hold = HoldPart(
            id=asked.hold_id,
            amount_micros=decision.hold_amount,
            expires_at=rfc3339(decision.hold_expires_ms),
        )
    return AuthorizeAnswer(
        id=asked.id,
        decision=word_of(decision),
        reasons=[
            ReasonAnswer(code=Reason(r.code).name, id=r.id or None, detail=r.detail)
            for r in decision.reasons
        ],
        status_hint=decision.status_hint,
        hold=hold,
        quote=_quote(asked),
        draws=[DrawAnswer(source=d.source, amount_micros=d.amount_micros) for d in decision.draws],
        granted_quantity=asked.quantity if asked.is_partial and decision.allowed else None,
        balance=BalancePart(available_micros=decision.available, held_micros=decision.held),
        limits=[_limit(state) for state in decision.limits],
        risk=_risk(decision),
        degraded=asked.risk is not None and asked.risk.is_degraded,
        retry_after_s=UNSET if decision.retry_after_s is None else decision.retry_after_s,
        max_affordable_micros=UNSET if decision.max_affordable is None else decision.max_affordable,
    )


def refused_answer(
    decision_id: str,
    amount_micros: int,
    reason: Reason,
    detail: str,
    retry_after_s: int | None = None,
) -> AuthorizeAnswer:
    """The closed answer when nothing can be asked: nothing is promised, nothing moved."""
    return AuthorizeAnswer(
        id=decision_id,
        decision="deny",
        reasons=[ReasonAnswer(code=reason.name, id=None, detail=detail)],
        status_hint=reason.status_hint,
        hold=None,
        quote=QuoteAnswer(amount_micros=amount_micros, currency="", rate_card=None, lines=[]),
        draws=[],
        granted_quantity=None,
        balance=BalancePart(available_micros=0, held_micros=0),
        limits=[],
        risk=RiskAnswer(),
        degraded=True,
        retry_after_s=UNSET if retry_after_s is None else retry_after_s,
    )


def stand_in_answer(asked: RequestRecord, hold_expires_ms: int) -> AuthorizeAnswer:
    """The open answer while the store is out: promised, recorded, charged afterwards."""
    hold = HoldPart(
        id=asked.hold_id, amount_micros=asked.amount, expires_at=rfc3339(hold_expires_ms)
    )
    return AuthorizeAnswer(
        id=asked.id,
        decision="allow",
        reasons=[],
        status_hint=200,
        hold=hold if asked.mode == Mode.HOLD else None,
        quote=_quote(asked),
        draws=[],
        granted_quantity=asked.quantity if asked.is_partial else None,
        balance=BalancePart(available_micros=0, held_micros=0),
        limits=[],
        risk=RiskAnswer(),
        degraded=True,
    )


def end_answer(ended: Ended) -> EndAnswer:
    """The answer to a capture or release."""
    parts: dict[str, int] = {}
    for part in [*ended.kept, *ended.excess]:
        parts[part.name] = parts.get(part.name, 0) + part.amount
    return EndAnswer(
        id=ended.hold_id,
        status=("held", "captured", "released", "expired")[ended.status],
        captured_micros=ended.captured,
        released_micros=ended.released,
        shortfall_micros=ended.shortfall,
        late=ended.late,
        draws=[DrawAnswer(source=source_label(n), amount_micros=a) for n, a in parts.items()],
    )


def subject_of(terms: RecordedTerms) -> dict[str, str]:
    """The subject of a request, as the caller named it."""
    subject = {"org": terms.org, "project": terms.project, "user": terms.user, "key": terms.key}
    return {name: value for name, value in subject.items() if value}


def hold_answer(hold_id: str, hold: Hold, asked: RequestRecord, now_ms: int) -> HoldAnswer:
    """A hold as a reader sees it now."""
    terms = asked.terms
    status = status_at(hold.state, hold.expires_ms, now_ms)
    return HoldAnswer(
        id=hold_id,
        status=status.name,
        late=hold.late,
        subject=subject_of(terms),
        product=hold.product,
        amount_micros=hold.amount,
        captured_micros=hold.captured,
        released_micros=hold.released,
        shortfall_micros=hold.shortfall,
        created_at=rfc3339(hold.created_ms),
        expires_at=rfc3339(hold.expires_ms),
        ended_at=_or_none(hold.ended_ms),
        draws=[DrawAnswer(source=source_label(d.name), amount_micros=d.amount) for d in hold.draws],
        quote=_quote(asked),
    )


def grant_answer(moved: Moved) -> GrantAnswer:
    """The answer to a grant."""
    return GrantAnswer(
        id=moved.id,
        kind=moved.kind,
        amount_micros=moved.amount,
        remaining_micros=moved.available,
        settled_shortfall_micros=moved.settled,
    )


def void_answer(moved: Moved) -> VoidAnswer:
    """The answer to a void."""
    return VoidAnswer(id=moved.id, voided_micros=-moved.amount)


def adjustment_answer(moved: Moved) -> AdjustmentAnswer:
    """The answer to an adjustment."""
    return AdjustmentAnswer(
        kind=moved.kind,
        amount_micros=moved.amount,
        shortfall_micros=moved.shortfall,
        available_micros=moved.available,
    )


class BatchAnswer(Answer):
    """One answer or problem for each item, in order."""

    results: list[Any]
