"""The decision: a pure function of what was asked and what the store did."""

from __future__ import annotations

from math import ceil

from msgspec import Struct

from gateway.core.commands import Outcome
from gateway.core.counters import (
    GAUGE,
    SLIDING,
    SLOT,
    TOKENS,
    UNITS,
    WINDOW,
    refuses,
    room,
    used,
    wait_ms,
)
from gateway.core.money import shown
from gateway.core.reasons import Reason, Refusal
from gateway.core.request_record import LimitTerms, RequestRecord
from gateway.core.sources import source_label
from gateway.core.windows import FOREVER_MS


class Draw(Struct, frozen=True, gc=False):
    """An amount of one source, as callers see it."""

    source: str
    amount_micros: int


class LimitState(Struct, frozen=True, gc=False):
    """A limit after the decision, in its unit.

    `resets_ms` (Unix ms) is 0 where no time of a reset is known. A limit that slides counts what is
    on hold as used.
    """

    id: str
    kind: str
    level: str
    mode: str
    limit: int
    remaining: int
    resets_ms: int
    unit: str
    used: int
    held: int
    is_money: bool = False


class Decision(Struct, frozen=True):
    """The answer to the caller.

    Times are Unix ms, amounts micros; `hold_expires_ms` is 0 without a hold.
    """

    asked: RequestRecord
    allowed: bool
    reasons: tuple[Refusal, ...]
    status_hint: int
    hold_amount: int
    hold_expires_ms: int
    draws: tuple[Draw, ...]
    available: int
    held: int
    limits: tuple[LimitState, ...]
    retry_after_s: int | None = None
    max_affordable: int | None = None
    signals: tuple[int, ...] = ()


def conclude(asked: RequestRecord, outcome: Outcome) -> Decision:
    """Derive everything that follows from a record: the answer, its reasons, and what is left."""
    allowed, terms = outcome.allowed, asked.terms
    reasons: tuple[Refusal, ...] = ()
    status_hint, retry_s, affordable = 200, None, None
    taken, set_aside = asked.amount, asked.set_aside
    if not allowed:
        reasons = _reasons(asked, outcome)
        status_hint = reasons[0].reason.status_hint if reasons else 200
        retry_s = _retry_after_s(asked, outcome, reasons) if reasons else None
        if any(r.code in _MONEY for r in reasons) and not _units_refuse(asked, outcome):
            affordable = affordable_micros(asked, outcome)
        taken = set_aside = 0
    draws = zip(terms.sources, outcome.draws, strict=False)
    return Decision(
        asked,
        allowed,
        reasons,
        status_hint,
        outcome.hold_amount,
        outcome.hold_expires_ms,
        tuple([Draw(source_label(source.name), part) for source, part in draws if part]),
        funds_available(asked, outcome) - taken,
        outcome.readings[-2] + set_aside if outcome.readings else 0,
        tuple(_limit_states(asked, outcome)),
        retry_s,
        affordable,
        tuple(outcome.signals),
    )


RISK_REASONS = (
    Reason.list_blocked,
    Reason.rule_blocked,
    Reason.risk_too_high,
    Reason.challenge_required,
)
_MONEY = (Reason.cap_exceeded, Reason.insufficient_funds)
"""Reasons for which a smaller amount may pass."""


def funds_available(asked: RequestRecord, outcome: Outcome) -> int:
    """Sum what the sources could give before this request, in micros."""
    available = 0
    for source, value in zip(asked.terms.sources, outcome.funds, strict=True):
        if value > source.floor:
            available += value - source.floor
    return available


def affordable_micros(asked: RequestRecord, outcome: Outcome) -> int:
    """Compute the largest amount that funds and hard caps would bear."""
    least = funds_available(asked, outcome)
    for i, limit in enumerate(asked.terms.limits):
        if limit.row.is_cap and limit.row.is_money and limit.mode == "hard":
            least = min(least, room(limit.limit, _used(limit, outcome, i)))
    return least


def unit_rooms(asked: RequestRecord, outcome: Outcome) -> tuple[tuple[tuple[str, ...], int], ...]:
    """List how many tokens and units hard limits would bear, by units; () means tokens."""
    return tuple(
        (limit.units, room(limit.limit, _used(limit, outcome, i)))
        for i, limit in enumerate(asked.terms.limits)
        if limit.mode == "hard" and limit.row.measure in (TOKENS, UNITS)
    )


def _is_over(asked: RequestRecord, limit: LimitTerms, used_now: float) -> bool:
    measure = limit.measure
    return limit.mode == "hard" and refuses(limit.limit, measure, asked.shares[measure], used_now)


def _units_refuse(asked: RequestRecord, outcome: Outcome) -> bool:
    """Return whether a cap of units refuses the request: less money would not help."""
    return any(
        limit.row.is_cap and limit.units and _is_over(asked, limit, _used(limit, outcome, i))
        for i, limit in enumerate(asked.terms.limits)
    )


def limits_refuse(asked: RequestRecord, outcome: Outcome) -> bool:
    """Return whether a hard cap or rate limit refuses the request on top of its reading."""
    limits = enumerate(asked.terms.limits)
    return any(_is_over(asked, limit, _used(limit, outcome, i)) for i, limit in limits)


def _used(limit: LimitTerms, outcome: Outcome, i: int) -> float:
    first, second = outcome.readings[2 * i], outcome.readings[2 * i + 1]
    return used(limit.row.shape, first, second, limit.span_ms, outcome.now_ms)


def _reasons(asked: RequestRecord, outcome: Outcome) -> tuple[Refusal, ...]:
    found = [*asked.terms.refusals, *asked.refusals]
    for i, limit in enumerate(asked.terms.limits):
        if _is_over(asked, limit, _used(limit, outcome, i)):
            found.append(_limit_refusal(limit, asked.terms.currency))
    available = funds_available(asked, outcome)
    if available < asked.amount:
        currency = asked.terms.currency
        needed, there = shown(asked.amount, currency), shown(max(0, available), currency)
        detail = f"{needed} is needed, {there} is available"
        found.append(Refusal(int(Reason.insufficient_funds), "", detail))
    # Risk is a reason only where account, price and money let the request pass.
    others = [refusal for refusal in found if refusal.code not in RISK_REASONS]
    return tuple(sorted(others or found, key=lambda r: (r.reason.rank, r.id)))


def _limit_refusal(limit: LimitTerms, currency: str) -> Refusal:
    row, whose = limit.row, f"for this {limit.level}"
    most = shown(limit.limit, currency) if row.is_money else f"{limit.limit} {limit.unit}"
    span = f" in {limit.span_ms // 1000} s" if row.shape == SLIDING else ""
    if row.shape == GAUGE:
        detail = f"{limit.limit} holds may be open at once {whose}"
    elif row.is_cap:
        detail = f"the {limit.level} cap of {most}{span} would be passed"
    else:
        detail = f"{most}{span} are allowed {whose}"
    return Refusal(int(row.reason), limit.id, detail)


def _retry_after_s(
    asked: RequestRecord, outcome: Outcome, reasons: tuple[Refusal, ...]
) -> int | None:
    if reasons[0].reason.status_hint != 429:
        return None
    longest = 1
    for i, limit in enumerate(asked.terms.limits):
        if limit.row.reason is Reason.rate_limited and _is_over(
            asked, limit, _used(limit, outcome, i)
        ):
            first, second = outcome.readings[2 * i : 2 * i + 2]
            share = asked.shares[limit.measure]
            wait = wait_ms(limit.limit, share, first, second, limit.span_ms, outcome.now_ms)
            longest = max(longest, -(-wait // 1000))
    return longest


def _limit_states(asked: RequestRecord, outcome: Outcome) -> list[LimitState]:
    shown_limits = (i for i, limit in enumerate(asked.terms.limits) if limit.mode != "shadow")
    return [limit_state(asked, outcome, i) for i in shown_limits]


def limit_state(asked: RequestRecord, outcome: Outcome, i: int) -> LimitState:
    """Derive the state of a request's `i`th limit after the decision."""
    limit, now_ms = asked.terms.limits[i], outcome.now_ms
    shape, span_ms, resets_ms = limit.row.shape, limit.span_ms, 0
    taken = asked.shares[limit.measure] if outcome.allowed else 0
    first, second = outcome.readings[2 * i], outcome.readings[2 * i + 1]
    after = used(shape, first, second, span_ms, now_ms) + taken
    held = 0
    if shape == WINDOW:
        resets_ms = span_ms if span_ms != FOREVER_MS else 0
        # An immediate capture takes no slot: what it takes is used at once.
        held = second + taken if asked.shares[SLOT] else second
    elif shape == SLIDING:
        resets_ms = now_ms + span_ms - now_ms % span_ms
    most = limit.limit
    return LimitState(
        limit.id,
        limit.row.label,
        limit.level,
        limit.mode,
        most,
        room(most, after),
        resets_ms,
        limit.unit,
        ceil(after) - held,
        held,
        limit.row.is_money,
    )
