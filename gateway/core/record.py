"""What was asked, with the terms it was asked under: one half of every record.

With the store's outcome it explains a decision completely: the answer is a pure function of the
two. It holds no raw personal data.
"""

from __future__ import annotations

from msgspec import Struct

from gateway.core.counters import Source
from gateway.core.pricing import Price
from gateway.core.reasons import Refusal


class LimitTerms(Struct, frozen=True, array_like=True, gc=False):
    """A cap or rate limit that applied, and what the request adds to it.

    `span_ms` is a cap's window end and a rate limit's width; `bears` is false where the limit is
    shown but cannot refuse (soft, shadow, or a slot that a settled request does not take).
    """

    id: str
    kind: str
    level: str
    mode: str
    limit: int
    span_ms: int
    amount: int
    bears: bool


class Asked(Struct, array_like=True):
    """One authorize or extend as it was planned. Fields are only ever added at the end."""

    id: str
    hold_id: str
    org: str
    project: str
    user: str
    key: str
    run: str
    product: str
    quantity: dict[str, int] | None
    amount: int
    price: Price | None
    currency: str
    mode: int
    extends: bool
    refusals: tuple[Refusal, ...]
    limits: tuple[LimitTerms, ...]
    sources: tuple[Source, ...]
    book: str
    versions: tuple[int, ...]
    context: dict[str, str | int]
    is_partial: bool = False
    caller: str = ""


class EndNote(Struct, array_like=True):
    """What a capture or release was called with."""

    quantity: dict[str, int] | None
    amount: int
    caller: str = ""


class AdminNote(Struct, array_like=True):
    """Who moved funds outside a request, and why."""

    note: str
    caller: str = ""
