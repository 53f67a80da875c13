"""Reasons of a refusal: one enum.

A reason's number is stored in records; its rank says which reason weighs more.
"""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct


class Reason(IntEnum):
    """Every reason of the contract; its number is written in records and never changes."""

    org_suspended = 1
    project_suspended = 2
    user_suspended = 3
    key_unknown = 4
    key_disabled = 5
    key_expired = 6
    product_unpriced = 7
    product_not_allowed = 8
    list_blocked = 9
    rule_blocked = 10
    risk_too_high = 11
    challenge_required = 12
    rate_limited = 13
    concurrency_limited = 14
    cap_exceeded = 15
    insufficient_funds = 16
    ledger_backlog = 17
    store_unavailable = 18
    overloaded = 19

    @property
    def rank(self) -> int:
        """The rank among all reasons: a lower one weighs more."""
        return _RANKS[self]

    @property
    def status_hint(self) -> int:
        """The status with which a frontend would answer its own client."""
        return _BY_RANK[self]

    @property
    def is_retryable(self) -> bool:
        """True if the same request may pass later although no one changes anything."""
        return self.status_hint in (429, 503) or self is Reason.cap_exceeded


_BY_RANK = {
    Reason.org_suspended: 403,
    Reason.project_suspended: 403,
    Reason.user_suspended: 403,
    Reason.key_unknown: 403,
    Reason.key_disabled: 403,
    Reason.key_expired: 403,
    Reason.product_unpriced: 403,
    Reason.product_not_allowed: 403,
    Reason.list_blocked: 403,
    Reason.rule_blocked: 403,
    Reason.risk_too_high: 403,
    Reason.challenge_required: 403,
    Reason.rate_limited: 429,
    Reason.concurrency_limited: 429,
    Reason.cap_exceeded: 402,
    Reason.insufficient_funds: 402,
    Reason.ledger_backlog: 503,
    Reason.overloaded: 503,
    Reason.store_unavailable: 503,
}
"""All reasons, the weightiest first, with the status a frontend would answer its own client."""
_RANKS = {reason: rank for rank, reason in enumerate(_BY_RANK)}


class Refusal(Struct, frozen=True, array_like=True, gc=False):
    """One reason, the id of its cap, limit, rule or list ("" for none), and a sentence."""

    code: int
    id: str
    detail: str

    @property
    def reason(self) -> Reason:
        """The reason as a member of the enum."""
        return Reason(self.code)
