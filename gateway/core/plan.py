"""Make a plan: what must hold for one request, and what the request then changes."""

from __future__ import annotations

from msgspec import Struct

from gateway.core.commands import Idempotency, Mode, Plan
from gateway.core.counters import SET_ASIDE, shares_of
from gateway.core.entities import Lineage
from gateway.core.limits import sum_of, tokens_of
from gateway.core.pricing import cost_micros
from gateway.core.request_record import RequestRecord
from gateway.core.terms import Terms, unpriced
from gateway.core.velocity import CountersInPlay

NOTHING = CountersInPlay()


class Request(Struct, frozen=True):
    """One authorize or extend, decoded and checked.

    Exactly one of `quantity` (by unit) and `amount` (micros) is set. `settles` asks for an
    immediate capture, in a dry run too. `challenge` is the decision whose step-up was passed (""
    for none).
    """

    lineage: Lineage
    product: str
    quantity: dict[str, int] | None
    amount: int | None
    mode: Mode
    hold_ttl_ms: int
    context: dict[str, str | int]
    caller: str = ""
    extends: bool = False
    settles: bool = False
    challenge: str = ""
    tags: dict[str, str] = {}


def quote(terms: Terms, request: Request) -> int:
    """Compute what the request would cost in micros; 0 when nothing prices it.

    A request that nothing prices is refused anyway.
    """
    if request.quantity is None:
        return request.amount or 0
    price = terms.asked.price
    return cost_micros(price, request.quantity) if price is not None else 0


def make(
    terms: Terms,
    request: Request,
    decision_id: str,
    hold_id: str,
    amount: int,
    is_partial: bool = False,
) -> RequestRecord:
    """Make the request's half of the record."""
    quantity = request.quantity
    shares = shares_of(amount, tokens_of(quantity) if quantity else 0, settles=request.settles)
    if request.settles and request.mode is Mode.HOLD:
        # The money is on hold until the request is assessed: it is set aside, but takes no slot.
        shares = (*shares[:SET_ASIDE], amount)
    if terms.measured:
        shares += tuple([sum_of(quantity, units) for units in terms.measured])
    is_unpriced = quantity is not None and terms.asked.price is None
    return RequestRecord(
        terms.asked,
        decision_id,
        hold_id,
        request.lineage.run,
        quantity,
        amount,
        shares,
        int(request.mode),
        request.extends,
        (unpriced(request.product),) if is_unpriced else (),
        request.context,
        is_partial,
        request.caller,
        tags=request.tags,
    )


def assemble(
    terms: Terms,
    asked: RequestRecord,
    request: Request,
    packed: bytes,
    not_after_ms: int,
    *,
    probe: bool = False,
    idempotency: Idempotency | None = None,
    met: CountersInPlay = NOTHING,
) -> Plan:
    """Assemble the plan that the store decides.

    `packed` is what was asked beyond the terms; `not_after_ms` is Unix ms.
    """
    return Plan(
        terms.needs,
        asked.hold_id,
        asked.amount,
        asked.shares,
        not_after_ms,
        request.hold_ttl_ms,
        packed,
        request.mode,
        asked.is_refused,
        probe and not asked.is_refused,
        request.extends,
        idempotency,
        met.tallies,
        met.windows,
        met.version,
    )
