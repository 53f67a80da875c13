"""Stories of one request: what was asked, what the store saw, what the caller is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.core import plan
from gateway.core.commands import Mode, Outcome
from gateway.core.decision import Decision, conclude
from gateway.core.entities import Cap, Lineage, Member, Profile, RateLimit
from gateway.core.request_record import RequestRecord
from gateway.core.terms import compile_terms
from tests.unit.core.making import NOON, lineage, lineage_terms, profile

DAILY = Cap("daily", "org", "day", 1_000)
LIFETIME = Cap("ever", "org", "lifetime", 5_000)
PER_MINUTE = RateLimit("per-minute", "org", "requests", 10)
TOKENS = RateLimit("tokens", "org", "tokens", 1_000)
OPEN = RateLimit("open", "org", "concurrent", 2)
FULL = {DAILY: (400, 600), PER_MINUTE: (10, 0), TOKENS: (1_000, 0), OPEN: (2, 0)}
"""What each counter shows when not a thing more fits."""


@dataclass
class Story:
    """A request, and what the store saw and did."""

    amount: int | None = 100
    quantity: dict[str, int] | None = None
    mode: Mode = Mode.HOLD
    settles: bool = False
    extends: bool = False
    product: str = "gpt"
    of: Lineage = field(default_factory=lineage)
    members: tuple[Member, ...] = ()
    limits: dict[Cap | RateLimit, tuple[int, int]] = field(default_factory=dict)
    """Each limit of the org with its two numbers before the request."""
    funds: tuple[int, ...] = (10_000, 0)
    """Adjustments and credit line, after included quota and grants if there are any."""
    held: int = 0
    who: dict[str, Any] = field(default_factory=dict)
    hold: tuple[int, int] = (100, NOON + 300_000)
    now_ms: int = NOON

    def profile(self) -> Profile:
        caps = tuple(limit for limit in self.limits if isinstance(limit, Cap))
        rates = tuple(limit for limit in self.limits if isinstance(limit, RateLimit))
        return profile(caps=caps, rate_limits=rates, **self.who)

    def asked(self) -> RequestRecord:
        terms = compile_terms(
            self.profile(), lineage_terms(self.of, members=self.members), self.product, self.now_ms
        )
        request = plan.Request(
            self.of,
            self.product,
            self.quantity,
            None if self.quantity else self.amount,
            self.mode,
            300_000,
            {},
            extends=self.extends,
            settles=self.settles,
        )
        return plan.make(terms, request, "dec_1", "hold_1", plan.quote(terms, request))

    def outcome(self, draws: tuple[int, ...] | None) -> Outcome:
        caps = [v for limit, v in self.limits.items() if isinstance(limit, Cap)]
        rates = [v for limit, v in self.limits.items() if isinstance(limit, RateLimit)]
        readings = [n for pair in (*caps, *rates, (self.held, 0)) for n in pair]
        is_held = draws is not None and self.mode is Mode.HOLD
        amount, expires_ms = self.hold if is_held else (0, 0)
        return Outcome(
            draws is not None,
            self.now_ms,
            readings,
            list(self.funds),
            list(draws or ()),
            [1, 2, 3, 4, 5, 6],
            amount,
            expires_ms,
        )

    def denied(self) -> Decision:
        return conclude(self.asked(), self.outcome(None))

    def allowed(self, *draws: int) -> Decision:
        return conclude(self.asked(), self.outcome(draws))


def codes(decision: Decision) -> list[str]:
    return [r.reason.name for r in decision.reasons]
