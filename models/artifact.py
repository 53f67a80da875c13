"""A model as a JSON file: checked in full, and loaded only if it scores as it did when made.

Never pickle, which runs what a file says. This file has numbers and names only; the only code that
runs is the code that `scorer` generates from the numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.errors import ModelError
from models.features import BY_NAME, FeatureSpec, schema_of, specs_of
from models.scorer import Scorer, code_of
from models.trees import Forest, Tree
from models.validate import check_calibration, check_forest, check_golden

FORMAT = 1
LARGEST_FILE = 16_000_000
MOST_TOLD, LONGEST_TOLD = 50, 200
HEAD = ("format", "features", "schema", "trained")
KEYS = (*HEAD, "baseline", "trees", "calibration", "thresholds", "honest", "spread", "golden")
TREE = ("feature", "threshold", "missing_left", "left", "right", "value", "cover")
ACTIONS = ("block", "challenge", "review")
"""Actions that may follow from a threshold on."""


@dataclass(frozen=True)
class Golden:
    """A golden vector: feature values (None: missing), and its scores when the model was made.

    The log-odds (`raw`) are the same on every machine, to the last bit. The probability (`score`)
    depends on the machine's exponential function.
    """

    values: tuple[float | None, ...]
    raw: float
    score: float


@dataclass(frozen=True)
class TypicalRange:
    """Range of a feature in good traffic: nearly all values lie between `low` and `high`.

    `weight` is the feature's part of the model's gain (0 to 1).
    """

    low: float
    high: float
    weight: float


@dataclass(frozen=True)
class ReferenceHistogram:
    """Distribution of values in training, against which drift is measured.

    `shares` has the share of each bin between the rising `edges`, and last that of missing values:
    two more than there are edges.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Content:
    """Content of a model, without its golden vectors.

    `calibration` has rising points (raw probability, probability). `thresholds` has, by action, the
    score from which it follows. `honest` and `spread` have the typical range and the reference
    histogram of features by name; `spread` of "" is that of the score. `trained` describes the
    training for people (a digest, counts, dates).
    """

    features: tuple[str, ...]
    forest: Forest
    calibration: tuple[tuple[float, float], ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    honest: Mapping[str, TypicalRange] = field(default_factory=dict)
    spread: Mapping[str, ReferenceHistogram] = field(default_factory=dict)
    trained: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A loaded model, named by the hash of its text, with its golden vectors."""

    id: str
    content: Content
    golden: tuple[Golden, ...]
    scorer: Scorer


def dump(
    content: Content,
    golden: Sequence[Sequence[float]],
    known: Mapping[str, FeatureSpec] = BY_NAME,
) -> str:
    """Return the text of a model.

    `golden` has vectors of feature values (NaN: missing); the text stores their scores, and a model
    is loaded only where it scores them the same.
    """
    forest, names = content.forest, content.features
    scorer = Scorer(code_of(forest, len(names)), content.calibration)
    told = {
        "format": FORMAT,
        "features": list(names),
        "schema": schema_of(known[name] for name in names),
        "baseline": forest.baseline,
        "trees": [{name: list(getattr(tree, name)) for name in TREE} for tree in forest.trees],
        "calibration": [list(point) for point in content.calibration],
        "thresholds": dict(content.thresholds),
        "honest": {name: [h.low, h.high, h.weight] for name, h in content.honest.items()},
        "spread": {name: [s.edges, s.shares] for name, s in content.spread.items()},
        "trained": dict(content.trained),
        "golden": [
            {
                "values": [None if math.isnan(v) else v for v in row],
                "raw": scorer.raw(*row),
                "score": scorer.score(row),
            }
            for row in golden
        ],
    }
    return json.dumps(told, allow_nan=True, separators=(",", ":"))


def load(text: str, known: Mapping[str, FeatureSpec] = BY_NAME) -> Model:
    """Load a model whose features are known here. Raises ModelError for any fault of the text."""
    told = _read(text)
    specs = specs_of(told["features"], known)
    if told["schema"] != schema_of(specs):
        raise ModelError(
            f"the model was trained on features {told['schema']!r}, these are"
            f" {schema_of(specs)!r}: train it anew"
        )
    try:
        content, golden = _content(told), tuple(_golden(one) for one in told["golden"])
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise ModelError(f"the model is broken: {error}") from None
    strangers = (content.honest.keys() | content.spread.keys()) - {*content.features, ""}
    if strangers:
        raise ModelError(f"the model tells of {min(strangers)!r}, which is none of its features")
    check_forest(content.forest, len(specs))
    check_calibration(content.calibration)
    _check_thresholds(content.thresholds)
    try:
        scorer = Scorer(code_of(content.forest, len(specs)), content.calibration)
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ModelError(f"the model cannot be compiled: {error}") from None
    check_golden([(g.values, g.raw, g.score) for g in golden], len(specs), scorer)
    return Model(name_of(text), content, golden, scorer)


def name_of(text: str) -> str:
    """Return a model's id: a hash of its text."""
    return "m_" + hashlib.sha256(text.encode()).hexdigest()[:20]


def _content(told: Mapping[str, Any]) -> Content:
    return Content(
        tuple(told["features"]),
        Forest(_number(told["baseline"]), tuple(_tree(t) for t in told["trees"])),
        tuple((_number(x), _number(y)) for x, y in told["calibration"]),
        {str(name): _number(at) for name, at in told["thresholds"].items()},
        {str(name): TypicalRange(*map(_finite_or_inf, of)) for name, of in told["honest"].items()},
        {str(name): _spread(*of) for name, of in told["spread"].items()},
        _trained(told["trained"]),
    )


def _trained(told: Mapping[str, Any]) -> dict[str, str | int | float]:
    """Check the description for people: a few short printable texts and numbers.

    An untrusted file could hold anything here. Raises ValueError.
    """
    if len(told) > MOST_TOLD:
        raise ValueError(f"trained tells at most {MOST_TOLD} things")
    for name, value in told.items():
        text = value if isinstance(value, str) else ""
        if not isinstance(value, str):
            _number(value)
        if max(len(name), len(text)) > LONGEST_TOLD or not (name + text).isprintable():
            raise ValueError("trained tells short printable texts, and numbers")
    return dict(told)


def _golden(told: Mapping[str, Any]) -> Golden:
    values = tuple(None if v is None else _finite_or_inf(v) for v in told["values"])
    return Golden(values, _number(told["raw"]), _number(told["score"]))


def _spread(edges: Sequence[Any], shares: Sequence[Any]) -> ReferenceHistogram:
    found = ReferenceHistogram(tuple(map(_finite_or_inf, edges)), tuple(map(_number, shares)))
    if len(found.shares) != len(found.edges) + 2:
        raise ValueError("a spread has a share for each bin, and one for what is missing")
    return found


def _check_thresholds(thresholds: Mapping[str, float]) -> None:
    for action, at in thresholds.items():
        if action not in ACTIONS:
            raise ModelError(f"a score does not {action}: {', '.join(ACTIONS)}")
        if not 0 < at <= 1:
            raise ModelError(f"the threshold to {action} is above 0 and at most 1, not {at}")


def _read(text: str) -> dict[str, Any]:
    if len(text) > LARGEST_FILE:
        raise ModelError(f"the file has more than {LARGEST_FILE:,} characters")
    try:
        text.encode()
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"the file is no JSON: {error}") from None
    if not isinstance(told, dict) or set(told) != set(KEYS):
        raise ModelError(f"the file is no model: it must have {', '.join(KEYS)}, and nothing else")
    if told["format"] != FORMAT:
        raise ModelError(f"the file has format {told['format']!r}, this reads {FORMAT}")
    for name, kind in (("features", list), ("trees", list), ("calibration", list)):
        if not isinstance(told[name], kind):
            raise ModelError(f"{name} must be a list")
    if not all(isinstance(feature, str) for feature in told["features"]):
        raise ModelError("features must be names")
    if len(set(told["features"])) != len(told["features"]) or not told["features"]:
        raise ModelError("a model has features, each once")
    return told


def _number(value: object) -> float:
    number = _finite_or_inf(value)
    if math.isinf(number):
        raise ValueError(f"{value!r} is not finite")
    return number


def _finite_or_inf(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def _tree(told: Mapping[str, Sequence[Any]]) -> Tree:
    if set(told) != set(TREE) or len({len(told[name]) for name in TREE}) != 1:
        raise ValueError(f"a tree has {', '.join(TREE)}, all of one length")
    whole = {name: tuple(told[name]) for name in ("feature", "left", "right", "missing_left")}
    if not all(type(n) is int for name in ("feature", "left", "right") for n in whole[name]):
        raise ValueError("nodes are told by whole numbers")
    if not all(type(is_left) is bool for is_left in whole["missing_left"]):
        raise ValueError("missing_left is true or false")
    thresholds = tuple(_finite_or_inf(v) for v in told["threshold"])
    values, cover = (tuple(_number(v) for v in told[name]) for name in ("value", "cover"))
    where = (whole["missing_left"], whole["left"], whole["right"])
    return Tree(whole["feature"], thresholds, *where, values, cover)
