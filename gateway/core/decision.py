"""The decision: a pure function of what was asked and what the store did."""

from __future__ import annotations

from msgspec import Struct

from gateway.core.caps import MEASURES
from gateway.core.commands import Outcome
from gateway.core.counters import GAUGE, SLIDING, WINDOW, refuses, room, used, wait_ms
from gateway.core.funding import source_label
from gateway.core.money import shown
from gateway.core.reasons import Reason, Refusal
from gateway.core.request_record import LimitTerms, RequestRecord
from gateway.core.windows import FOREVER_MS

SHAPES = {"cap": WINDOW, "requests": SLIDING, "tokens": SLIDING, "concurrent": GAUGE}


class Draw(Struct, frozen=True, gc=False):
    """An amount of one source, as callers see it."""

    source: str
    amount_micros: int


class LimitState(Struct, frozen=True, gc=False):
    """A limit after the decision; `resets_ms` (Unix ms) is 0 where no time of a reset is known."""

    id: str
    kind: str
    level: str
    mode: str
    limit: int
    remaining: int
    resets_ms: int


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
        if any(r.code in _MONEY for r in reasons):
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


NO_SHARES = (0, 0, 0, 0, 0)
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
        if limit.kind == "cap" and limit.mode == "hard":
            least = min(least, room(limit.limit, _used(limit, outcome, i)))
    return least


def token_room(asked: RequestRecord, outcome: Outcome) -> int | None:
    """Compute the tokens that rate limits would bear; None without such a limit."""
    rooms = [
        room(limit.limit, _used(limit, outcome, i))
        for i, limit in enumerate(asked.terms.limits)
        if limit.kind == "tokens"
    ]
    return min(rooms, default=None)


def _is_over(asked: RequestRecord, limit: LimitTerms, used_now: float) -> bool:
    measure = MEASURES[limit.kind]
    return limit.mode == "hard" and refuses(limit.limit, measure, asked.shares[measure], used_now)


def limits_refuse(asked: RequestRecord, outcome: Outcome) -> bool:
    """Return whether a hard cap or rate limit refuses the request on top of its reading."""
    limits = enumerate(asked.terms.limits)
    return any(_is_over(asked, limit, _used(limit, outcome, i)) for i, limit in limits)


def _used(limit: LimitTerms, outcome: Outcome, i: int) -> float:
    first, second = outcome.readings[2 * i], outcome.readings[2 * i + 1]
    return used(SHAPES[limit.kind], first, second, limit.span_ms, outcome.now_ms)


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
    if limit.kind == "cap":
        most = shown(limit.limit, currency)
        detail = f"the {limit.level} cap of {most} would be passed"
        return Refusal(int(Reason.cap_exceeded), limit.id, detail)
    if limit.kind == "concurrent":
        detail = f"{limit.limit} holds may be open at once for this {limit.level}"
        return Refusal(int(Reason.concurrency_limited), limit.id, detail)
    seconds = limit.span_ms // 1000
    detail = f"{limit.limit} {limit.kind} in {seconds} s are allowed for this {limit.level}"
    return Refusal(int(Reason.rate_limited), limit.id, detail)


def _retry_after_s(
    asked: RequestRecord, outcome: Outcome, reasons: tuple[Refusal, ...]
) -> int | None:
    if reasons[0].reason.status_hint != 429:
        return None
    longest = 1
    for i, limit in enumerate(asked.terms.limits):
        is_rate = limit.kind in ("requests", "tokens")
        if is_rate and _is_over(asked, limit, _used(limit, outcome, i)):
            first, second = outcome.readings[2 * i : 2 * i + 2]
            share = asked.shares[MEASURES[limit.kind]]
            wait = wait_ms(limit.limit, share, first, second, limit.span_ms, outcome.now_ms)
            longest = max(longest, -(-wait // 1000))
    return longest


def _limit_states(asked: RequestRecord, outcome: Outcome) -> list[LimitState]:
    found, now_ms, readings = [], outcome.now_ms, outcome.readings
    shares = asked.shares if outcome.allowed else NO_SHARES
    for i, limit in enumerate(asked.terms.limits):
        kind, span_ms, resets_ms = limit.kind, limit.span_ms, 0
        if limit.mode == "shadow":
            continue
        used_now: float = readings[2 * i] + readings[2 * i + 1]
        if kind == "cap":
            resets_ms = span_ms if span_ms != FOREVER_MS else 0
        elif kind != "concurrent":
            used_now = used(SLIDING, readings[2 * i], readings[2 * i + 1], span_ms, now_ms)
            resets_ms = now_ms + span_ms - now_ms % span_ms
        remaining = room(limit.limit, used_now + shares[MEASURES[kind]])
        found.append(
            LimitState(limit.id, kind, limit.level, limit.mode, limit.limit, remaining, resets_ms)
        )
    return found
