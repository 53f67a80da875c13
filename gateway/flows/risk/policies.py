"""Cache compiled rule sets and models, and which of them are in force."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from gateway.catalog.declared_counters import declared
from gateway.catalog.models import Models
from gateway.catalog.policy_log import EVERYBODY, Change, PoliciesInForce, RuleSets, in_force
from gateway.core.request_record import RequestRecord, Scoring
from gateway.errors import Bug, Unavailable
from gateway.flows.risk.compile_process import compile_elsewhere, model_elsewhere
from gateway.flows.risk.velocity import VelocityCounters
from models.errors import ModelError
from models.serving import Served
from rules.engine import Phased
from rules.errors import RuleError
from rules.ruleset import load

RULES_EVERY_S = 0.5
"""Time in s between two looks of a worker for changed rules."""
TAKEN_OVER_S = 2 * RULES_EVERY_S + 0.2
"""By then every worker that reaches the catalog knows of a change."""
SETTLED_MS = 300_000
"""Grace in ms before a window that is no longer declared is dropped.

By then every worker that reaches the catalog has the change; one that does not still finds its
windows counted until then.
"""
KEPT = 16
"""Rule sets that a worker keeps compiled: those in force, and some that records still cite."""
MODELS_KEPT = 4
UNTRIED = -1
"""No version: a worker that has it looks again."""
T = TypeVar("T")

NO_TALLIES = VelocityCounters(0, {}, b"")


@dataclass(frozen=True)
class Cited:
    """The rule set and the model that assessed a record, each None where there was none."""

    rules: Phased | None = None
    model: Served | None = None


@dataclass(frozen=True)
class Policies:
    """Compiled policies in force; replaced as a whole, so a decision sees one version.

    `active` are rule sets with their share of orgs in percent: the first whose share an org falls
    in decides. `scoring` says by which model all are scored, None for none; that is `champion`,
    unless it could not be read.
    """

    version: int = 0
    active: tuple[tuple[Phased, int], ...] = ()
    shadows: tuple[Phased, ...] = ()
    tallying: VelocityCounters = NO_TALLIES
    scoring: Scoring | None = None
    champion: Served | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is assessed."""
        return not self.active and not self.shadows and self.scoring is None

    @property
    def score_may_stop(self) -> bool:
        """Whether a score, or that there is none, may stop a request."""
        scoring = self.scoring
        return scoring is not None and (
            scoring.missing in ("challenge", "block") or any(scoring.cuts[:2])
        )

    def of(self, org: str) -> Phased | None:
        """The rule set that decides for an org: always the same, as long as the shares are."""
        place = zlib.crc32(org.encode()) % EVERYBODY
        return next((engine for engine, percent in self.active if place < percent), None)


NOTHING_CITED = Cited()


class Rules:
    """A worker's view of the rule sets and models in force, and of some that were.

    `unscored` is what becomes of requests while the model that should score them cannot be read:
    allow, challenge or block.
    """

    def __init__(
        self,
        rulesets: RuleSets,
        models: Models,
        secret: bytes,
        on_event: Callable[[str], None],
        now_ms: Callable[[], int] = int,
        unscored: str = "allow",
    ) -> None:
        self._rulesets = rulesets
        self._models = models
        self._secret = secret
        self._now_ms = now_ms
        self._unscored = unscored
        self._changes: list[Change] = []
        self._on_event = on_event
        self._compiled: dict[str, Phased] = {}
        self._served: dict[str, Served] = {}
        self._refreshing = asyncio.Lock()
        self._past: dict[int, tuple[str, ...]] = {}
        """Rule sets in shadow after a change, by its number; of the one asked for last."""
        self.policies = Policies()

    async def refresh(self) -> None:
        """Take over what changed. Raises Unavailable; what was in force stays so meanwhile."""
        async with self._refreshing:
            if await self._rulesets.version() == self.policies.version:
                self._settle()
                return
            changes = self._changes = await self._rulesets.changes()
            now = in_force(changes)
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
            champion, is_final = await self._champion(now)
            scoring = self._scoring(now, champion)
            if not is_final and self.policies.champion is not None:
                # Until the new one can be read, the old one stays.
                champion, scoring = self.policies.champion, self.policies.scoring
            self.policies = Policies(
                version if is_final else UNTRIED,
                tuple((found[name], percent) for name, percent in now.active if name in found),
                tuple(found[name] for name in now.shadows if name in found),
                VelocityCounters(now.version, declared(changes), self._secret),
                scoring,
                champion,
            )
            self._settle()

    async def _champion(self, now: PoliciesInForce) -> tuple[Served | None, bool]:
        """The model that scores, if it can be read; and whether that is the last word."""
        if not now.champion:
            return None, True
        try:
            return await self.served(now.champion), True
        except (ModelError, KeyError) as error:
            self._on_event(f"model {now.champion} does not score: {error}")
            return None, True
        except (OSError, Bug) as error:
            self._on_event(f"model {now.champion} does not score yet: {error}")
            return None, False

    def _scoring(self, now: PoliciesInForce, champion: Served | None) -> Scoring | None:
        if not now.champion:
            return None
        if champion is None:
            return Scoring("", now.cuts, self._unscored)
        return Scoring(champion.id, now.cuts)

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
        _keep(self._compiled, ruleset, found, KEPT)
        return found

    async def served(self, model: str) -> Served:
        """A model, read beside the loop unless it was before. Raises KeyError or ModelError."""
        found = self._served.pop(model, None)
        if found is None:
            stored = await self._models.find(model)
            if stored is None:
                raise KeyError(model)
            found = await asyncio.to_thread(model_elsewhere, stored.text)
        _keep(self._served, model, found, MODELS_KEPT)
        return found

    async def of(self, asked: RequestRecord) -> Cited:
        """Compile the policies that a record cites. Raises Unavailable if they cannot be read."""
        risk = asked.risk
        if risk is None:
            return NOTHING_CITED
        return Cited(await self._rules_of(risk.ruleset), await self._model_of(risk.model))

    async def _rules_of(self, ruleset: str) -> Phased | None:
        if not ruleset:
            return None
        for phased, _ in self.policies.active:
            if phased.ruleset.id == ruleset:
                return phased
        try:
            return await self.compiled(ruleset)
        except (RuleError, KeyError, OSError, Bug) as error:
            detail = f"rule set {ruleset} cannot be read: {error}"
            raise Unavailable("catalog_unavailable", detail) from error

    async def _model_of(self, model: str) -> Served | None:
        champion = self.policies.champion
        if not model or (champion is not None and champion.id == model):
            return champion if model else None
        try:
            return await self.served(model)
        except (ModelError, KeyError, OSError, Bug) as error:
            detail = f"model {model} cannot be read: {error}"
            raise Unavailable("catalog_unavailable", detail) from error

    async def shadows_of(self, asked: RequestRecord) -> tuple[Phased, ...]:
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
            past = in_force(changes).shadows
            self._past = {version: past}
        found = []
        for ruleset in past:
            with suppress(RuleError, KeyError):
                found.append(await self.compiled(ruleset))
        return tuple(found)


def _keep(kept: dict[str, T], name: str, found: T, most: int) -> None:
    """Move an entry to the end of the LRU order and evict the oldest."""
    kept[name] = found
    while len(kept) > most:
        del kept[next(iter(kept))]
