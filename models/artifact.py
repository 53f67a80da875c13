"""A model as a file: JSON, checked in full, and taken only if it scores as it did.

Never pickle: a file holds numbers and names, and nothing of it is run but what `scorer` makes of
the numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from models.errors import ModelError
from models.scorer import Compiler, Scorer, compiled
from models.trees import LEAF, Forest, Tree

FORMAT = 1
LARGEST_FILE = 32_000_000
MOST_TREES, MOST_NODES, DEEPEST = 2_000, 200_000, 60
"""Python's own parser nests no deeper than some ninety parentheses."""
LEAST_GOLDEN = 5
LAST_BITS = 1e-12
"""What exponential functions of two machines may differ by."""
HEAD = ("format", "features", "schema", "trained")
KEYS = (*HEAD, "baseline", "trees", "calibration", "thresholds", "golden")
TREE = ("feature", "threshold", "missing_left", "left", "right", "value")


@dataclass(frozen=True)
class Golden:
    """Values of the features (None: missing), and what they scored when the model was made.

    The log-odds (`raw`) are the same on every machine; the score rests on its exponential function.
    """

    values: tuple[float | None, ...]
    raw: float
    score: float


@dataclass(frozen=True)
class Model:
    """A model, named by the hash of its text.

    `thresholds` are scores from which on something is done, by what; `trained` tells on what it was
    (a digest, counts, dates), for people.
    """

    id: str
    features: tuple[str, ...]
    forest: Forest
    calibration: tuple[tuple[float, float], ...]
    thresholds: Mapping[str, float]
    trained: Mapping[str, str | int | float]
    golden: tuple[Golden, ...]
    scorer: Scorer


def schema_of(features: Sequence[str]) -> str:
    """A digest of the features in their order: what a model was trained on, and is given."""
    return hashlib.sha256("\n".join(features).encode()).hexdigest()[:16]


def dump(
    features: Sequence[str],
    forest: Forest,
    golden: Sequence[Sequence[float]],
    *,
    calibration: Sequence[tuple[float, float]] = (),
    thresholds: Mapping[str, float] | None = None,
    trained: Mapping[str, str | int | float] | None = None,
) -> str:
    """The text of a model; `golden` are values whose scores it must have wherever it is loaded."""
    scorer = Scorer(forest, len(features), calibration)
    told = {
        "format": FORMAT,
        "features": list(features),
        "schema": schema_of(features),
        "baseline": forest.baseline,
        "trees": [{name: list(getattr(tree, name)) for name in TREE} for tree in forest.trees],
        "calibration": [list(point) for point in calibration],
        "thresholds": dict(thresholds or {}),
        "trained": dict(trained or {}),
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


def load(text: str, features: Sequence[str], compiler: Compiler = compiled) -> Model:
    """Read a model for these features. Raises ModelError; nothing of it is kept then."""
    told = _read(text)
    if tuple(told["features"]) != tuple(features) or told["schema"] != schema_of(features):
        raise ModelError(
            f"the model was trained on features {told['schema']!r}, these are"
            f" {schema_of(features)!r}: train it anew"
        )
    try:
        forest = Forest(_number(told["baseline"]), tuple(_tree(t) for t in told["trees"]))
        calibration = tuple((_number(x), _number(y)) for x, y in told["calibration"])
        thresholds = {str(name): _number(at) for name, at in told["thresholds"].items()}
        golden = tuple(
            Golden(
                tuple(None if v is None else _finite_or_inf(v) for v in g["values"]),
                _number(g["raw"]),
                _number(g["score"]),
            )
            for g in told["golden"]
        )
        trained = dict(told["trained"])
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise ModelError(f"the model is broken: {error}") from None
    _check_forest(forest, len(features))
    _check_calibration(calibration)
    try:
        scorer = Scorer(forest, len(features), calibration, compiler)
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ModelError(f"the model cannot be compiled: {error}") from None
    _check_golden(golden, len(features), scorer)
    name = "mdl_" + hashlib.sha256(text.encode()).hexdigest()[:20]
    parts = (calibration, thresholds, trained, golden, scorer)
    return Model(name, tuple(features), forest, *parts)


def _read(text: str) -> dict[str, Any]:
    if len(text) > LARGEST_FILE:
        raise ModelError(f"the file has more than {LARGEST_FILE:,} characters")
    try:
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
    values = tuple(_number(v) for v in told["value"])
    where = (whole["missing_left"], whole["left"], whole["right"])
    return Tree(whole["feature"], thresholds, *where, values)


def _check_forest(forest: Forest, features: int) -> None:
    nodes = sum(len(tree.feature) for tree in forest.trees)
    if len(forest.trees) > MOST_TREES or nodes > MOST_NODES:
        raise ModelError(f"a model has at most {MOST_TREES} trees of {MOST_NODES} nodes in all")
    for number, tree in enumerate(forest.trees):
        count, depth = len(tree.feature), {0: 1}
        if not count:
            raise ModelError(f"tree {number} has no nodes")
        for node, feature in enumerate(tree.feature):
            if node not in depth or depth[node] > DEEPEST:
                raise ModelError(f"tree {number}: node {node} is out of reach, or too deep")
            if feature == LEAF:
                continue
            if not 0 <= feature < features:
                raise ModelError(f"tree {number}: node {node} asks for feature {feature}")
            for child in (tree.left[node], tree.right[node]):
                if not node < child < count or child in depth:
                    raise ModelError(f"tree {number}: node {node} has child {child}: no tree")
                depth[child] = depth[node] + 1


def _check_calibration(points: Sequence[tuple[float, float]]) -> None:
    rises = all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(points))
    if not rises or not all(0 <= y <= 1 for _, y in points):
        raise ModelError("the calibration must rise from 0 to 1 at most")


def _check_golden(golden: Sequence[Golden], features: int, scorer: Scorer) -> None:
    if len(golden) < LEAST_GOLDEN:
        raise ModelError(f"the model has fewer than {LEAST_GOLDEN} golden vectors to prove it")
    for number, one in enumerate(golden):
        if len(one.values) != features:
            raise ModelError(f"golden vector {number} has {len(one.values)} values")
        values = [math.nan if v is None else v for v in one.values]
        raw, score = scorer.raw(*values), scorer.score(values)
        if raw != one.raw or not math.isclose(score, one.score, rel_tol=LAST_BITS):
            was = f"it was {one.score!r} ({one.raw!r})"
            raise ModelError(f"golden vector {number} scores {score!r} ({raw!r}), {was}")
