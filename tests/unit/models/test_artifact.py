"""A model is taken whole, by what it scored when it was made, or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from models.artifact import Content, ReferenceHistogram, TypicalRange, dump, load
from models.errors import ModelError
from models.features import FeatureSpec, Formula
from models.trees import LEAF, Forest, Tree

FEATURES = ("spend", "age")
KNOWN = {name: FeatureSpec(name, "count", Formula("value", (name,))) for name in FEATURES}
STUMP = Tree(
    (0, LEAF, LEAF),
    (5.0, 0, 0),
    (True, False, False),
    (1, 0, 0),
    (2, 0, 0),
    (0, -1.5, 2.0),
    (9, 4, 5),
)
DEEP = Tree(
    (1, 0, LEAF, LEAF, LEAF),
    (math.inf, -0.25, 0, 0, 0),
    (False, False, False, False, False),
    (1, 2, 0, 0, 0),
    (4, 3, 0, 0, 0),
    (0, 0, 0.125, -0.5, 0.75),
    (9, 5, 2, 3, 4),
)
FOREST = Forest(-0.3, (STUMP, DEEP))
ROWS = [[1.0, 2.0], [9.0, 2.0], [math.nan, 1.0], [5.0, math.nan], [math.inf, -math.inf]]
RISING = [(0.0, 0.01), (0.5, 0.2), (1.0, 0.9)]


MODEL = Content(
    FEATURES,
    FOREST,
    tuple(RISING),
    {"block": 0.9},
    {"age": TypicalRange(1.0, 9.0, 0.5)},
    {"": ReferenceHistogram((0.5,), (0.9, 0.1, 0.0))},
)


def text(**more: Any) -> str:
    return dump(replace(MODEL, **more), ROWS, KNOWN)


def test_what_is_dumped_is_loaded_and_scores_the_same() -> None:
    model = load(text(trained={"rows": 7}), KNOWN)
    assert model.content == replace(MODEL, trained={"rows": 7})
    assert [model.scorer.score(row) for row in ROWS] == [one.score for one in model.golden]
    assert load(text(trained={"rows": 7}), KNOWN).id == model.id != load(text(), KNOWN).id


def test_a_score_follows_from_the_leaves() -> None:
    model = load(dump(Content(FEATURES, FOREST), ROWS, KNOWN), KNOWN)
    assert model.scorer.raw(1.0, 2.0) == -0.3 + -1.5 + -0.5
    assert model.scorer.raw(math.nan, math.nan) == -0.3 + -1.5 + 0.75
    assert model.scorer.score([9.0, math.nan]) == 1 / (1 + math.exp(-(-0.3 + 2.0 + 0.75)))


def edited(change: Callable[[dict[str, Any]], object]) -> str:
    told = json.loads(text())
    change(told)
    return json.dumps(told)


BROKEN: dict[str, str] = {
    "not json": "{",
    "a list": "[]",
    "nothing": "{}",
    "another format": edited(lambda m: m.update(format=2)),
    "more than a model": edited(lambda m: m.update(pickle="x")),
    "other features": edited(lambda m: m.update(features=["age", "spend"])),
    "another schema": edited(lambda m: m.update(schema="0" * 16)),
    "a leaf that is no number": edited(lambda m: m["trees"][0]["value"].__setitem__(1, math.nan)),
    "an infinite leaf": edited(lambda m: m["trees"][0]["value"].__setitem__(1, math.inf)),
    "a baseline that is text": edited(lambda m: m.update(baseline="0")),
    "a loop": edited(lambda m: m["trees"][0]["left"].__setitem__(0, 0)),
    "a child of two": edited(lambda m: m["trees"][0]["left"].__setitem__(0, 2)),
    "a child beyond the end": edited(lambda m: m["trees"][0]["right"].__setitem__(0, 9)),
    "a feature that is not there": edited(lambda m: m["trees"][0]["feature"].__setitem__(0, 2)),
    "columns of two lengths": edited(lambda m: m["trees"][0]["value"].append(1.0)),
    "a tree without nodes": edited(lambda m: m["trees"].append({key: [] for key in m["trees"][0]})),
    "a calibration that falls": edited(lambda m: m.update(calibration=[[0, 0.5], [1, 0.2]])),
    "no golden vectors": edited(lambda m: m.update(golden=[])),
    "a golden vector cut short": edited(lambda m: m["golden"][0]["values"].pop()),
    "a leaf changed by the last bits": edited(
        lambda m: m["trees"][1]["value"].__setitem__(3, -0.5000000000000004)
    ),
    "another score": edited(lambda m: m["golden"][0].update(score=0.5)),
    "a number beyond all": edited(lambda m: m.update(baseline=10**400)),
    "a feature that nobody counts": edited(lambda m: m.update(features=["spend", "shoe_size"])),
    "a feature twice": edited(lambda m: m.update(features=["spend", "spend"])),
    "a node nobody came by": edited(lambda m: m["trees"][0]["cover"].__setitem__(1, 0)),
    "a threshold to do nothing known": edited(lambda m: m.update(thresholds={"fine": 0.5})),
    "a threshold beyond all": edited(lambda m: m.update(thresholds={"block": 1.5})),
    "a spread of too few shares": edited(lambda m: m.update(spread={"": [[0.5], [1.0]]})),
    "not a number for a threshold": edited(
        lambda m: m["trees"][0]["threshold"].__setitem__(0, math.nan)
    ),
    "half a character told": edited(lambda m: m.update(trained={"a": "\ud800"})),
    "a book told": edited(lambda m: m.update(trained={"a": "x" * 201})),
    "too much told": edited(lambda m: m.update(trained={f"a{n}": n for n in range(51)})),
    "something nested told": edited(lambda m: m.update(trained={"a": [[[]]]})),
    "too many golden vectors": edited(lambda m: m.update(golden=m["golden"] * 50)),
    "too many trees": edited(lambda m: m.update(trees=m["trees"] * 400)),
    "half a character": text().replace('"age":[', '"\ud800":[', 1),
    "a stranger among its features": edited(lambda m: m.update(honest={"shoe_size": [0, 1, 1]})),
    "code for a number": edited(lambda m: m.update(baseline="__import__('os')")),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_model_is_refused_with_what_is_wrong(kind: str) -> None:
    with pytest.raises(ModelError) as told:
        load(BROKEN[kind], KNOWN)
    assert str(told.value)[0].islower() and len(str(told.value)) > 10


def test_a_tree_deeper_than_python_reads_is_refused() -> None:
    count = 201
    deep = Tree(
        tuple(0 if n % 2 == 0 and n < count - 1 else LEAF for n in range(count)),
        (0.0,) * count,
        (False,) * count,
        tuple(n + 1 if n % 2 == 0 and n < count - 1 else 0 for n in range(count)),
        tuple(n + 2 if n % 2 == 0 and n < count - 1 else 0 for n in range(count)),
        (1.0,) * count,
        (1.0,) * count,
    )
    told = json.loads(text())
    told["trees"] = [{name: list(getattr(deep, name)) for name in told["trees"][0]}]
    with pytest.raises(ModelError, match="too deep"):
        load(json.dumps(told), KNOWN)
