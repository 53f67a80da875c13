"""Decide a request once more on what the store read: the record alone must give the outcome."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.core.commands import Outcome
from gateway.core.decision import limits_refuse
from gateway.core.machine_steps import draw
from gateway.core.request_record import RequestRecord


def decided_again(asked: RequestRecord, out: Outcome) -> Outcome:
    """Compute the reference machine's outcome of a request, from recorded readings and funds.

    `asked` may be refused for other reasons than it was; what the store counted stays.
    """
    draws, rest = draw(asked.terms.sources, out.funds, asked.amount)
    if asked.is_refused or rest or limits_refuse(asked, out):
        return replace(out, allowed=False, draws=[], hold_amount=0, hold_expires_ms=0)
    return replace(out, allowed=True, draws=draws)
