"""How the rule sets in force assess a request: what they say, and what follows from it."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass

from gateway.catalog.rulesets import EVERYBODY, RuleSets, standing
from gateway.core.facts import facts_of
from gateway.core.reasons import Reason, Refusal
from gateway.core.record import Asked, Risk, Shadowed
from rules.engine import Engine, Verdict
from rules.ruleset import load

STOPS = {"block": Reason.rule_blocked, "challenge": Reason.challenge_required}
"""Actions that refuse, and the reason they give."""


@dataclass(frozen=True)
class Policies:
    """The rule sets in force, compiled; replaced as a whole, so a decision sees one of them.

    `active` with their share of orgs in percent: the first whose share an org falls in decides.
    """

    version: int = 0
    active: tuple[tuple[Engine, int], ...] = ()
    shadows: tuple[Engine, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is assessed."""
        return not self.active and not self.shadows

    def of(self, org: str) -> Engine | None:
        """The rule set that decides for an org: always the same, as long as the shares are."""
        place = zlib.crc32(org.encode()) % EVERYBODY
        return next((engine for engine, percent in self.active if place < percent), None)


class Rules:
    """A worker's view of the rule sets in force."""

    def __init__(self, rulesets: RuleSets) -> None:
        self._rulesets = rulesets
        self._engines: dict[str, Engine] = {}
        self._refreshing = asyncio.Lock()
        self.policies = Policies()

    async def refresh(self) -> None:
        """Take over what changed. Raises Unavailable; what was in force stays so meanwhile."""
        async with self._refreshing:
            if await self._rulesets.version() == self.policies.version:
                return
            now = standing(await self._rulesets.changes())
            wanted = {*(ruleset for ruleset, _ in now.active), *now.shadows}
            self._engines = {ruleset: await self.engine(ruleset) for ruleset in sorted(wanted)}
            engines = self._engines
            self.policies = Policies(
                now.version,
                tuple((engines[ruleset], percent) for ruleset, percent in now.active),
                tuple(engines[ruleset] for ruleset in now.shadows),
            )

    async def engine(self, ruleset: str) -> Engine:
        """A rule set, compiled beside the loop unless it is in force. Raises KeyError."""
        if ruleset in self._engines:
            return self._engines[ruleset]
        stored = await self._rulesets.text(ruleset)
        if stored is None:
            raise KeyError(ruleset)
        text = stored.text
        return await asyncio.to_thread(lambda: Engine(load(text)))


def assess(policies: Policies, asked: Asked, at_ms: int) -> Risk | None:
    """What the rule sets in force say of a request; None where none is, or it is refused anyway.

    The refusals that follow are added to it.
    """
    if policies.is_empty or asked.is_refused:
        return None
    facts, currency = facts_of(asked, at_ms), asked.terms.currency
    engine, shadows = policies.of(asked.terms.org), []
    for shadow in policies.shadows:
        verdict = shadow.evaluate(facts, currency, at_ms)
        if verdict.matches:
            shadows.append(Shadowed(shadow.ruleset.id, verdict.action, _ids(verdict)))
    if engine is None:
        asked.risk = Risk("", at_ms, "", (), 0, tuple(shadows))
        return asked.risk
    verdict = engine.evaluate(facts, currency, at_ms)
    asked.refusals += _refusals(verdict)
    unknown = len(verdict.unknown)
    asked.risk = Risk(
        engine.ruleset.id, at_ms, verdict.action, _ids(verdict), unknown, tuple(shadows)
    )
    return asked.risk


def lift_challenge(asked: Asked) -> None:
    """Let a request pass that was challenged, and passed the check."""
    asked.refusals = tuple(r for r in asked.refusals if r.code != Reason.challenge_required)


def _refusals(verdict: Verdict) -> tuple[Refusal, ...]:
    reason = STOPS.get(verdict.action)
    if reason is None:
        return ()
    return tuple(
        Refusal(int(reason), rule.id, rule.reason)
        for rule in verdict.matches
        if rule.action == verdict.action
    )


def _ids(verdict: Verdict) -> tuple[str, ...]:
    return tuple([rule.id for rule in verdict.matches])
