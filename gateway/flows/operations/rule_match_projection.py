"""Project rule matches out of the ledger, for the review queue and reports.

A match follows from a decision's record and the rule sets it cites, so the projection can run at
any time and again; each row counts once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gateway.catalog.models import Models
from gateway.catalog.policy_log import RuleSets
from gateway.catalog.rule_matches import ACTIVE, SHADOW, Gathered, Match, Matches
from gateway.core.commands import Outcome
from gateway.core.request_record import RequestRecord
from gateway.core.windows import DAY_MS
from gateway.errors import Bug, Unavailable
from gateway.flows.analysis.backtest import decided_in
from gateway.flows.risk.judgement import judge, with_shadows
from gateway.flows.risk.policies import Cited, Rules
from gateway.flows.risk.scoring import SCORED, UNSCORED
from gateway.ledger.history import History
from models.errors import ModelError
from rules.engine import Phased
from rules.errors import RuleError

T = TypeVar("T")
AT_A_TIME = 1_000
PAUSE_S = 0.25


@dataclass(frozen=True)
class Seen:
    """A decision, what it cites, and the rule sets that stood in shadow."""

    asked: RequestRecord
    out: Outcome
    cited: Cited
    shadows: Sequence[Phased]


class Gatherer:
    """Goes on from the row up to which matches are kept. One is enough; two do no harm."""

    def __init__(
        self,
        history: History,
        rulesets: RuleSets,
        models: Models,
        matches: Matches,
        on_event: Callable[[str], None],
    ) -> None:
        self._history = history
        self._rulesets = rulesets
        # It only reads what was recorded: no list is looked up.
        self._rules = Rules(rulesets, models, b"", on_event)
        self._matches = matches
        self._on_event = on_event
        self._unreadable: set[str] = set()
        self._unassessed = 0
        """Rows before this one were made while no rules had ever been in force."""

    async def run(self) -> None:
        """Gather for ever."""
        while True:
            is_done = True
            try:
                is_done = await self.step()
            except (Unavailable, OSError):
                # SQL does not answer, or a compiler could not be started: a bit later again.
                await asyncio.sleep(1)
            except Bug as error:
                self._on_event(f"what rules matched is not gathered: {error}")
                await asyncio.sleep(1)
            if is_done:
                await asyncio.sleep(PAUSE_S)

    async def step(self) -> bool:
        """Gather some rows; whether that were all there are. Raises Unavailable."""
        rows = (await self._history.head()).rows
        if not await self._rulesets.version():
            # Known, not kept: a gateway without rules does not write for them.
            self._unassessed = rows
            return True
        kept_to = await self._matches.row()
        from_row = max(kept_to, self._unassessed)
        to_row = min(from_row + AT_A_TIME, rows)
        if to_row <= kept_to:
            return True
        lines = await self._history.lines(from_row, to_row - from_row)
        decided = await asyncio.to_thread(decided_in, lines)
        seen = [await self._seen(*one) for one in decided if one[0].risk is not None]
        found = await asyncio.to_thread(gather, seen)
        await self._matches.add(kept_to, to_row, found)
        return to_row == rows

    async def _seen(self, asked: RequestRecord, out: Outcome) -> Seen:
        risk = asked.risk
        assert risk is not None, "only what was assessed is seen"
        cited = Cited(
            await self._read(risk.ruleset, self._rules.compiled),
            await self._read(risk.model, self._rules.served),
        )
        return Seen(asked, out, cited, await self._rules.shadows_of(asked))

    async def _read(self, name: str, read: Callable[[str], Awaitable[T]]) -> T | None:
        """A rule set or a model; None for one that cannot be read."""
        if not name or name in self._unreadable:
            return None
        try:
            return await read(name)
        except (RuleError, ModelError, KeyError) as error:
            # Never again: what its record says itself is all that is known.
            self._unreadable.add(name)
            self._on_event(f"{name} is reported in part: {error}")
            return None


def gather(seen: Iterable[Seen]) -> Gathered:
    """Compute matches of the rule sets that decided these requests, and of those in shadow."""
    found = Gathered()
    for one in seen:
        judged, _ = judge(one.cited, one.asked, one.out)
        judged = with_shadows(one.shadows, judged, one.out)
        risk, day = judged.risk, one.out.now_ms // DAY_MS
        assert risk is not None, "only what was assessed is seen"
        if risk.ruleset:
            found.assessed[risk.ruleset, ACTIVE, day] += 1
            told = (risk.ruleset, ACTIVE, risk.action)
            rules = [rule for rule in risk.rules if rule not in (SCORED, UNSCORED)]
            found.matches += [_match(judged, one.out, told, rule) for rule in rules]
        if risk.score is not None:
            # What a score brought about is told of its model.
            found.assessed[risk.model, ACTIVE, day] += 1
            if SCORED in risk.rules:
                told = (risk.model, ACTIVE, risk.action)
                found.matches.append(_match(judged, one.out, told, SCORED))
        for shadow in one.shadows:
            found.assessed[shadow.ruleset.id, SHADOW, day] += 1
        for by in risk.shadows:
            told = (by.ruleset, SHADOW, by.action)
            found.matches += [_match(judged, one.out, told, rule) for rule in by.rules]
    return found


def _match(asked: RequestRecord, out: Outcome, told: tuple[str, str, str], rule: str) -> Match:
    ruleset, mode, outcome = told
    terms = asked.terms
    day = out.now_ms // DAY_MS
    money = (terms.currency, asked.amount)
    return Match(asked.id, ruleset, rule, mode, outcome, terms.org, day, out.now_ms, *money)
