"""How the rule sets in force assess a request: what they say, and what follows from it.

In two phases: what a request itself says can refuse it before the store is asked. What the store
counted is known afterwards, and what follows from it is a pure function of the record: a repeated
call and whoever reads it later come to the same.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from msgspec import structs

from gateway.catalog.declared import declared
from gateway.catalog.rulesets import EVERYBODY, Change, RuleSets, standing
from gateway.core.decision import RISK_REASONS, conclude
from gateway.core.facts import SIGNALS, facts_of, tallied_of, velocities_of
from gateway.core.orders import Mode, Outcome
from gateway.core.reasons import Reason, Refusal
from gateway.core.record import Asked, Risk, Shadowed
from gateway.errors import Bug, Unavailable
from gateway.flows.elsewhere import compile_elsewhere
from gateway.flows.listed import BLOCKED, list_hits, listing, waits
from gateway.flows.tallying import Tallying
from rules.engine import NOTHING, Phased, strongest
from rules.errors import RuleError
from rules.ruleset import Rule, RuleSet, load

RULES_EVERY_S = 0.5
"""How often a worker looks whether the rules were changed."""
TAKEN_OVER_S = 2 * RULES_EVERY_S + 0.2
"""By then every worker that reaches the catalog knows of a change."""
SETTLED_MS = 300_000
"""A worker that knows less of the rules than that cannot reach the catalog; until then its windows
are counted on, for it and by all others."""
KEPT = 16
"""Rule sets that a worker keeps compiled: those in force, and some that records still cite."""
UNTRIED = -1
"""No version: whoever has it looks again."""
MOST_TOLD = 10
"""Rules that a refusal gives as its reasons; all that matched stand in the record."""
STOPS = {"block": Reason.rule_blocked, "challenge": Reason.challenge_required}
"""Actions that refuse, and the reason they give."""


NO_TALLIES = Tallying(0, {}, b"")


@dataclass(frozen=True)
class Policies:
    """The rule sets in force, compiled; replaced as a whole, so a decision sees one of them.

    `active` with their share of orgs in percent: the first whose share an org falls in decides.
    """

    version: int = 0
    active: tuple[tuple[Phased, int], ...] = ()
    shadows: tuple[Phased, ...] = ()
    tallying: Tallying = NO_TALLIES

    @property
    def is_empty(self) -> bool:
        """Whether nothing is assessed."""
        return not self.active and not self.shadows

    def of(self, org: str) -> Phased | None:
        """The rule set that decides for an org: always the same, as long as the shares are."""
        place = zlib.crc32(org.encode()) % EVERYBODY
        return next((engine for engine, percent in self.active if place < percent), None)


class Rules:
    """A worker's view of the rule sets in force, and of some that were."""

    def __init__(
        self,
        rulesets: RuleSets,
        secret: bytes,
        on_event: Callable[[str], None],
        now_ms: Callable[[], int] = int,
    ) -> None:
        self._rulesets = rulesets
        self._secret = secret
        self._now_ms = now_ms
        self._changes: list[Change] = []
        self._on_event = on_event
        self._compiled: dict[str, Phased] = {}
        self._refreshing = asyncio.Lock()
        self._past: dict[int, tuple[str, ...]] = {}
        """What stood in shadow behind the change that was asked for last."""
        self.policies = Policies()

    async def refresh(self) -> None:
        """Take over what changed. Raises Unavailable; what was in force stays so meanwhile."""
        async with self._refreshing:
            if await self._rulesets.version() == self.policies.version:
                self._settle()
                return
            changes = self._changes = await self._rulesets.changes()
            now = standing(changes)
            found: dict[str, Phased] = {}
            version = now.version
            for ruleset in (*(ruleset for ruleset, _ in now.active), *now.shadows):
                try:
                    found[ruleset] = await self.compiled(ruleset)
                except (RuleError, KeyError) as error:
                    # Taken by an earlier version of the language: skipped for good, and named.
                    self._on_event(f"rule set {ruleset} is not in force: {error}")
                except (OSError, Bug) as error:
                    version = UNTRIED
                    self._on_event(f"rule set {ruleset} is not in force yet: {error}")
            self.policies = Policies(
                version,
                tuple((found[name], percent) for name, percent in now.active if name in found),
                tuple(found[name] for name in now.shadows if name in found),
                Tallying(now.version, declared(changes), self._secret),
            )
            self._settle()

    def _settle(self) -> None:
        """Note which change every worker knows of by now."""
        known_ms = self._now_ms() - SETTLED_MS
        known = (change.n for change in reversed(self._changes) if change.at_ms < known_ms)
        self.policies.tallying.settled = next(known, 0)

    async def compiled(self, ruleset: str) -> Phased:
        """A rule set, compiled beside the loop unless it was before. Raises KeyError."""
        found = self._compiled.pop(ruleset, None)
        if found is None:
            stored = await self._rulesets.find(ruleset)
            if stored is None:
                raise KeyError(ruleset)
            text = stored.text
            found = await asyncio.to_thread(lambda: Phased(load(text), compile_elsewhere))
        # The latest stands last; the oldest goes.
        self._compiled[ruleset] = found
        while len(self._compiled) > KEPT:
            del self._compiled[next(iter(self._compiled))]
        return found

    async def of(self, asked: Asked) -> Phased | None:
        """The rule set that a record cites, if it cites one. Raises Unavailable."""
        if asked.risk is None or not asked.risk.ruleset:
            return None
        for phased, _ in self.policies.active:
            if phased.ruleset.id == asked.risk.ruleset:
                return phased
        try:
            return await self.compiled(asked.risk.ruleset)
        except (RuleError, KeyError, OSError, Bug) as error:
            detail = f"rule set {asked.risk.ruleset} cannot be read: {error}"
            raise Unavailable("catalog_unavailable", detail) from error

    async def shadows_of(self, asked: Asked) -> tuple[Phased, ...]:
        """The rule sets that stood in shadow when a request was assessed. Raises Unavailable.

        One that an earlier version of the language took is left out, as it was then.
        """
        version = asked.risk.version if asked.risk is not None else 0
        if version == self.policies.version:
            return self.policies.shadows
        if version <= 0:
            return ()
        past = self._past.get(version)
        if past is None:
            changes = (c for c in await self._rulesets.changes() if c.n <= version)
            past = standing(changes).shadows
            self._past = {version: past}
        found = []
        for ruleset in past:
            with suppress(RuleError, KeyError):
                found.append(await self.compiled(ruleset))
        return tuple(found)


def assess(policies: Policies, asked: Asked, at_ms: int) -> Risk | None:
    """What the rule sets in force say of a request before the store is asked.

    None where none is in force, or it is refused anyway. The refusals that follow are added to it.
    """
    if asked.is_refused or (policies.is_empty and not listing(asked)):
        return None
    phased = policies.of(asked.terms.org)
    if waits(asked):
        name = phased.ruleset.id if phased is not None else ""
        asked.risk = Risk(name, at_ms, "", (), 0, version=policies.version)
        return asked.risk
    facts, currency, shadows = facts_of(asked, at_ms), asked.terms.currency, []
    for shadow in policies.shadows:
        verdict = shadow.before.evaluate(facts, currency, at_ms)
        if verdict.matches:
            shadows.append(Shadowed(shadow.ruleset.id, verdict.action, _ids(verdict.matches)))
    if phased is None:
        asked.risk = Risk("", at_ms, "", (), 0, tuple(shadows), version=policies.version)
        return asked.risk
    verdict = phased.before.evaluate(facts, currency, at_ms)
    asked.refusals += refusals_of(verdict.action, verdict.matches)
    unknown, ids = len(verdict.unknown), _ids(verdict.matches)
    asked.risk = Risk(
        phased.ruleset.id,
        at_ms,
        verdict.action,
        ids,
        unknown,
        tuple(shadows),
        version=policies.version,
    )
    return asked.risk


def reads_of(ruleset: RuleSet) -> tuple[str, ...]:
    """What is to be counted, or looked up, because a rule set reads it."""
    names = (str(what) for what in ruleset.inputs if not isinstance(what, str))
    return tuple(name for name in names if name not in SIGNALS)


@dataclass(frozen=True)
class Known:
    """What is known of a request behind the store: its facts, and the moment they are as of.

    `hits` are the built-in lists that it stands on, as rules.
    """

    facts: dict[str, str | int | bool]
    at_ms: int
    hits: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Weighed:
    """What a rule set says of a request once both phases are known."""

    action: str
    matches: tuple[Rule, ...]
    unknown: int


UNTOUCHED = Weighed("", (), 0)


def weigh(phased: Phased, first: Sequence[str], known: Known, asked: Asked) -> Weighed:
    """The second phase, and what it makes of the rules (their ids) that matched in the first."""
    assert phased.after is not None
    second = phased.after.evaluate(known.facts, asked.terms.currency, known.at_ms)
    if not first and second is NOTHING:
        return UNTOUCHED
    matches = phased.merged(first, second)
    return Weighed(strongest(matches), matches, len(second.unknown))


def with_lists(found: Weighed, hits: tuple[Rule, ...]) -> Weighed:
    """With the built-in lists that a request stands on: one that blocks is stronger than all."""
    if not hits:
        return found
    matches = (*hits, *found.matches)
    action = "block" if any(hit.action == "block" for hit in hits) else strongest(matches)
    return Weighed(action, matches, found.unknown)


def known_behind(
    asked: Asked, out: Outcome, at_ms: int, more: Mapping[str, int] | None = None
) -> Known:
    """A request's own facts, and what the store counted before it; `more` where it did not."""
    facts: dict[str, str | int | bool] = facts_of(asked, at_ms)
    facts.update(velocities_of(asked.terms, out.signals))
    if more:
        facts.update(more)
    facts.update(tallied_of(asked, out))
    return Known(facts, at_ms, list_hits(asked, out))


def judge(phased: Phased | None, asked: Asked, out: Outcome) -> tuple[Asked, Outcome]:
    """A record with what follows from all that is known by now: a pure function of it.

    What is refused only now is told as if nothing had been taken: it is given back. Without the
    rule set that it cites, what it says itself is all that is known.
    """
    risk = asked.risk
    if risk is None:
        return asked, out
    hits = list_hits(asked, out)
    found = _found(phased, asked, out, hits)
    if found is None:
        return asked, out
    names = _ids(found.matches) if phased is not None else (*_ids(hits), *risk.rules)
    told = structs.replace(risk, action=found.action, rules=names, unknown=found.unknown)
    is_lifted = risk.is_lifted and found.action == "challenge"
    # What refused it before the store was asked stands in it already; an exemption lifts no list.
    is_exempt = any(rule.action == "allow" for rule in found.matches)
    refusing = found.matches if out.allowed and not is_exempt else hits
    refusals = () if is_lifted else refusals_of(found.action, refusing)
    judged = structs.replace(asked, risk=told, refusals=(*asked.refusals, *refusals))
    if not refusals or not out.allowed:
        return judged, out
    return judged, structs.replace(out, allowed=False, draws=[], hold_amount=0, hold_expires_ms=0)


def _found(
    phased: Phased | None, asked: Asked, out: Outcome, hits: tuple[Rule, ...]
) -> Weighed | None:
    """What the store's answer adds to an assessment; None where that is nothing."""
    risk = asked.risk
    assert risk is not None
    if phased is not None and out.allowed and waits(asked):
        return rehearsed(phased, asked, known_behind(asked, out, risk.at_ms))
    if phased is not None and out.allowed and phased.after is not None:
        found = weigh(phased, risk.rules, known_behind(asked, out, risk.at_ms), asked)
        return with_lists(replace(found, unknown=risk.unknown + found.unknown), hits)
    if not hits:
        return None
    first = phased.merged(risk.rules, NOTHING) if phased is not None else ()
    return with_lists(Weighed(risk.action, first, risk.unknown), hits)


def is_assessed(asked: Asked, out: Outcome) -> bool:
    """Whether rules alone could have stopped it: they see no other request."""
    if asked.mode == Mode.DRY or asked.terms.customer is None:
        return False
    if out.allowed:
        return True
    # Of a request that account, price or money refuse, no reason of risk is told.
    reasons = conclude(asked, out).reasons
    return bool(reasons) and reasons[0].code in RISK_REASONS


def rehearsed(phased: Phased, asked: Asked, known: Known) -> Weighed:
    """What a rule set would have decided of a request, as it would have live, from its record."""
    first = phased.before.evaluate(known.facts, asked.terms.currency, known.at_ms)
    found = Weighed(first.action, first.matches, len(first.unknown))
    is_lifted = asked.risk is not None and asked.risk.is_lifted and first.action == "challenge"
    is_refused = first.action in STOPS and not is_lifted and not waits(asked)
    if phased.after is not None and not is_refused:
        second = weigh(phased, _ids(first.matches), known, asked)
        found = Weighed(second.action, second.matches, found.unknown + second.unknown)
    return with_lists(found, known.hits)


def with_shadows(shadows: Iterable[Phased], asked: Asked, out: Outcome) -> Asked:
    """With what shadows that read what the store counted would have done.

    It follows from the record, as what `judge` says, and is told wherever the record is.
    """
    late = [shadow for shadow in shadows if shadow.after is not None or waits(asked)]
    risk = asked.risk
    if not late or risk is None or not is_assessed(asked, out):
        return asked
    known = known_behind(asked, out, risk.at_ms)
    told = {shadow.ruleset: shadow for shadow in risk.shadows}
    for shadow in late:
        name, found = shadow.ruleset.id, rehearsed(shadow, asked, known)
        if found.matches:
            told[name] = Shadowed(name, found.action, _ids(found.matches))
    return structs.replace(asked, risk=structs.replace(risk, shadows=tuple(told.values())))


def lift_challenge(asked: Asked) -> None:
    """Let a request pass whose subject passed the check, whichever phase asks for it."""
    assert asked.risk is not None
    asked.risk = structs.replace(asked.risk, is_lifted=True)
    asked.refusals = tuple(r for r in asked.refusals if r.code != Reason.challenge_required)


def refusals_of(action: str, matches: Iterable[Rule]) -> tuple[Refusal, ...]:
    """What an action refuses for, one for each of its rules; nothing unless it stops."""
    reason = STOPS.get(action)
    if reason is None:
        return ()
    found = [rule for rule in matches if rule.action == action]
    return tuple(
        Refusal(int(Reason.list_blocked), "block", rule.reason)
        if rule.id.startswith(BLOCKED)
        else Refusal(int(reason), rule.id, rule.reason)
        for rule in found[:MOST_TOLD]
    )


def _ids(matches: Iterable[Rule]) -> tuple[str, ...]:
    return tuple([rule.id for rule in matches])
