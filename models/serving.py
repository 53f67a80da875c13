"""A model in service: compiled in another process, proved again in the worker that uses it."""

from __future__ import annotations

import json
import marshal
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.artifact import ReferenceHistogram, TypicalRange, load
from models.features import Assembler, reads_of, specs_of, vector_code
from models.scorer import Scorer
from models.validate import check_golden

MOST_REASONS = 3


@dataclass(frozen=True)
class Served:
    """A model that scores requests.

    `reads` has the names of the facts that its features use; `head` is JSON that describes the
    model to people.
    """

    id: str
    head: str
    features: tuple[str, ...]
    reads: tuple[str, ...]
    thresholds: Mapping[str, float]
    honest: Mapping[str, TypicalRange]
    spread: Mapping[str, ReferenceHistogram]
    scorer: Scorer
    assembler: Assembler

    def score(self, facts: Mapping[str, Any]) -> float:
        """Return the calibrated probability of abuse from a request's facts by name."""
        return self.scorer.score(self.assembler.vector(facts))

    def reasons(self, facts: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the weightiest features outside their typical range, at most MOST_REASONS.

        This is a cheap hint; `models.shap` computes the exact contributions.
        """
        values = zip(self.features, self.assembler.vector(facts), strict=True)
        unusual = [
            name
            for name, value in values
            if name in self.honest
            and not self.honest[name].low <= value <= self.honest[name].high
            and not math.isnan(value)
        ]
        unusual.sort(key=lambda name: -self.honest[name].weight)
        return tuple(unusual[:MOST_REASONS])


def packed(text: str) -> bytes:
    """Check and compile a model's text into bytes for `unpacked`. Raises ModelError.

    It takes tens of milliseconds in which nothing else runs, so it belongs in another process.
    """
    model = load(text)
    content = model.content
    honest = {name: (h.low, h.high, h.weight) for name, h in content.honest.items()}
    spread = {name: (s.edges, s.shares) for name, s in content.spread.items()}
    golden = [(g.values, g.raw, g.score) for g in model.golden]
    head = {
        "features": content.features,
        "thresholds": dict(content.thresholds),
        "trees": len(content.forest.trees),
        "trained": dict(content.trained),
    }
    told = (
        model.id,
        json.dumps(head),
        content.features,
        dict(content.thresholds),
        honest,
        spread,
        content.calibration,
    )
    assembling = vector_code(specs_of(content.features))
    return marshal.dumps((*told, golden, model.scorer.code, assembling))


def unpacked(data: bytes) -> Served:
    """Return the model after it scored its golden vectors here, too. Raises ModelError.

    `data` must come from `packed` in a process of our own: marshal data are trusted as code.
    """
    parts = marshal.loads(data)  # noqa: S302  what our own process wrote
    name, head, features, thresholds, honest, spread, calibration, golden, code, assembling = parts
    specs = specs_of(features)
    scorer = Scorer(code, calibration)
    check_golden(golden, len(features), scorer)
    ranges = {feature: TypicalRange(*of) for feature, of in honest.items()}
    spreads = {feature: ReferenceHistogram(*of) for feature, of in spread.items()}
    reads, assembler = reads_of(specs), Assembler(specs, assembling)
    return Served(name, head, features, reads, thresholds, ranges, spreads, scorer, assembler)
