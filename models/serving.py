"""A model as it serves: its code, made in another process, proved again where it is used."""

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
    """A model that scores. `reads` is what its features are made of, by the names of facts; `head`
    is JSON that tells of it to people."""

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
        """The calibrated probability of abuse, of a request's facts by their names."""
        return self.scorer.score(self.assembler.vector(facts))

    def reasons(self, facts: Mapping[str, Any]) -> tuple[str, ...]:
        """The features that matter most of those whose values good requests hardly have.

        Cheap, and a hint: what each really contributed tells `models.shap`.
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
    """A model's text, checked, as what `unpacked` takes. Raises ModelError.

    It takes tens of milliseconds in which nothing else runs: to be done in another process.
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
    """The model, once it has scored its golden vectors here, too. Raises ModelError."""
    parts = marshal.loads(data)  # noqa: S302  what our own process wrote
    name, head, features, thresholds, honest, spread, calibration, golden, code, assembling = parts
    specs = specs_of(features)
    scorer = Scorer(code, calibration)
    check_golden(golden, len(features), scorer)
    ranges = {feature: TypicalRange(*of) for feature, of in honest.items()}
    spreads = {feature: ReferenceHistogram(*of) for feature, of in spread.items()}
    reads, assembler = reads_of(specs), Assembler(specs, assembling)
    return Served(name, head, features, reads, thresholds, ranges, spreads, scorer, assembler)
