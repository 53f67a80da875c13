"""Compare current requests with those the model was trained on (PSI)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.catalog.labels import Labels
from gateway.catalog.lists import Lists
from gateway.catalog.policy_log import RuleSets, in_force
from gateway.core.windows import DAY_MS
from gateway.errors import Bug, SpendgateError
from gateway.flows.analysis.training_set import Sources, TrainingRows, Wanted, training_rows
from gateway.flows.risk.policies import Rules
from gateway.ledger.history import History
from models.drift import ALARM, SCORE, drift_of
from models.errors import ModelError
from models.serving import Served

LOOK_EVERY_S = 60.0
LOOKED_AT = 5_000
"""The newest requests of a day."""
MOST_NAMED = 3


def _drift_of(served: Served, rows: TrainingRows) -> dict[str, float]:
    columns = dict(zip(served.features, zip(*rows.vectors, strict=True), strict=False))
    scores = [served.scorer.score(vector) for vector in rows.vectors]
    return drift_of(served.spread, {**columns, SCORE: scores})


@dataclass
class Drift:
    """Compares the spread of scores and features with that of the training, all the time.

    `score` and `feature` are the last indices: of the score, and the largest of a feature's.
    """

    history: History
    rulesets: RuleSets
    labels: Labels
    lists: Lists
    rules: Rules
    on_event: Callable[[str], None]
    score: float = 0.0
    feature: float = 0.0
    _alarmed: set[str] = field(default_factory=set)

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            try:
                await self.step(time.time_ns() // 1_000_000)
            except (SpendgateError, ModelError, KeyError, OSError, Bug) as error:
                self.on_event(f"drift is not watched: {error}")
            await asyncio.sleep(LOOK_EVERY_S)

    async def step(self, now_ms: int) -> None:
        """Look once. Raises Unavailable, or what reading a model raises."""
        champion = in_force(await self.rulesets.changes()).champion
        if not champion:
            self.score = self.feature = 0.0
            return
        served = await self.rules.served(champion)
        sources = Sources(self.history, self.labels, self.rulesets, self.lists, b"")
        # Only of what it scored does the record tell all.
        wanted = Wanted(served.features, now_ms - DAY_MS, most=LOOKED_AT, scored_by=champion)
        rows = await training_rows(sources, wanted)
        found = await asyncio.to_thread(_drift_of, served, rows)
        self.score = found.pop(SCORE, 0.0)
        self.feature = max(found.values(), default=0.0)
        self._ring(champion, {"the score": self.score, **found})

    def _ring(self, model: str, found: dict[str, float]) -> None:
        """Say once of each that it is another population, and again once it was back."""
        high = {name for name, index in found.items() if index > ALARM}
        fresh = sorted(high - self._alarmed, key=lambda name: -found[name])
        self._alarmed = high
        if fresh:
            told = ", ".join(f"{name} {found[name]:.2f}" for name in fresh[:MOST_NAMED])
            more = f" and {len(fresh) - MOST_NAMED} more" if len(fresh) > MOST_NAMED else ""
            self.on_event(f"model {model} was trained on other requests: {told}{more}")
