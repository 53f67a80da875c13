"""Making a plan: what must hold for one request, and what it then changes."""

from __future__ import annotations

from msgspec import Struct

from gateway.core.caps import Applied, held_counter
from gateway.core.counters import SLIDING, Counter
from gateway.core.entities import Lineage
from gateway.core.orders import Idempotency, Mode, Plan
from gateway.core.pricing import cost_micros, tokens_of
from gateway.core.record import Asked, LimitTerms
from gateway.core.terms import Terms, unpriced


class Request(Struct, frozen=True):
    """One authorize or extend, decoded and checked. Exactly one of quantity and amount is set."""

    lineage: Lineage
    product: str
    quantity: dict[str, int] | None
    amount: int | None
    mode: Mode
    hold_ttl_ms: int
    context: dict[str, str | int]
    caller: str = ""
    extends: bool = False


def quote(terms: Terms, request: Request) -> int:
    """What the request would cost in micros; 0 when nothing prices it (it is refused anyway)."""
    if request.quantity is None:
        return request.amount or 0
    return cost_micros(terms.price, request.quantity) if terms.price is not None else 0


def make(
    terms: Terms,
    request: Request,
    decision_id: str,
    hold_id: str,
    amount: int,
    is_partial: bool = False,
) -> tuple[Asked, tuple[Counter, ...]]:
    """What is asked for the record, and the counters it must fit in (the held gauge last)."""
    refusals = terms.refusals
    if terms.needs_price and request.quantity is not None:
        refusals = (*refusals, unpriced(request.product))
    tokens = tokens_of(request.quantity) if request.quantity else 0
    limits, counters = [], []
    for limit in terms.applied:
        if request.extends and limit.kind in ("requests", "concurrent"):
            continue
        part, bears = _share(limit, request, amount, tokens)
        counters.append(limit.counter(part, bears))
        span_ms = limit.period_ms if limit.shape == SLIDING else limit.ends_ms
        shown = bears and limit.mode == "hard"
        limits.append(
            LimitTerms(
                limit.id, limit.kind, limit.level, limit.mode, limit.limit, span_ms, part, shown
            )
        )
    counters.append(held_counter(amount if request.mode is not Mode.CAPTURE else 0))
    lineage = request.lineage
    asked = Asked(
        decision_id,
        hold_id,
        lineage.org,
        lineage.project,
        lineage.user,
        lineage.key,
        lineage.run,
        request.product,
        request.quantity,
        amount,
        terms.price,
        terms.currency,
        int(request.mode),
        request.extends,
        refusals,
        tuple(limits),
        terms.sources,
        terms.book,
        tuple(v.expected for v in terms.versions),
        request.context,
        is_partial,
        request.caller,
    )
    return asked, tuple(counters)


def _share(limit: Applied, request: Request, amount: int, tokens: int) -> tuple[int, bool]:
    if limit.kind == "cap":
        return amount, True
    if limit.kind == "tokens":
        return tokens, True
    if limit.kind == "concurrent":
        settles = request.mode is Mode.CAPTURE
        return (0, False) if settles else (1, True)
    return 1, True


def assemble(
    terms: Terms,
    request: Request,
    asked: Asked,
    counters: tuple[Counter, ...],
    body: bytes,
    valid_until_ms: int,
    *,
    probe: bool = False,
    idempotency: Idempotency | None = None,
) -> Plan:
    """The plan the store decides, with what was asked already encoded."""
    return Plan(
        org=request.lineage.org,
        hold_id=asked.hold_id,
        amount=asked.amount,
        counters=counters,
        sources=terms.sources,
        versions=terms.versions,
        signals=terms.signals,
        valid_from_ms=terms.valid_from_ms,
        valid_until_ms=min(valid_until_ms, terms.valid_until_ms),
        hold_ttl_ms=request.hold_ttl_ms,
        body=body,
        book=terms.book,
        currency=terms.currency,
        product=request.product,
        mode=request.mode,
        refused=bool(asked.refusals),
        probe=probe,
        extends=request.extends,
        idempotency=idempotency,
    )
