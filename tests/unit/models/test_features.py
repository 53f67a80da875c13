"""Features: one definition, under the names of rules; a vector knows what is missing."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gateway.core import facts
from gateway.core.facts import SIGNALS
from models.errors import ModelError
from models.features import (
    DEAR_PERCENT,
    FEATURES,
    Assembler,
    FeatureSpec,
    Formula,
    Signal,
    reads_of,
    schema_of,
    specs_of,
)
from rules.check import check
from rules.parser import parse
from rules.schema import SCHEMA

LATE = ("free_share", "held", "open_holds")
"""What only a record tells, beyond what rules may read."""


@pytest.mark.parametrize("name", [n for n in reads_of(FEATURES) if n not in LATE])
def test_what_a_feature_reads_is_what_rules_may_read_under_the_same_name(name: str) -> None:
    node = check(parse(name), SCHEMA)
    assert (node.op, str(node.value)) == ("input", name)


def test_signals_that_are_always_counted_are_found_under_their_names() -> None:
    assert set(reads_of(FEATURES)) >= SIGNALS


def test_a_schema_tells_of_all_that_defines_its_features() -> None:
    assert len({spec.name for spec in FEATURES}) == len(FEATURES)
    one = FeatureSpec("a", "count", Formula("value", ("amount",)))
    others = [
        FeatureSpec("b", "count", Formula("value", ("amount",))),
        FeatureSpec("a", "share", Formula("value", ("amount",))),
        FeatureSpec("a", "count", Formula("absent", ("amount",))),
        FeatureSpec("a", "count", Formula("value", ("tokens",))),
        FeatureSpec("a", "count", Formula("value", ("amount",), 2.0)),
        FeatureSpec("a", "count", Formula("value", ("amount",)), 0.0),
        FeatureSpec("a", "count", Formula("value", (Signal("cost", "org", "1h"),))),
    ]
    assert len({schema_of([of]) for of in (one, *others)}) == len(others) + 1


def test_what_is_dear_is_dear_to_the_store_and_to_features() -> None:
    assert DEAR_PERCENT == facts.DEAR_PERCENT


def test_an_entity_and_a_window_are_those_of_what_is_counted() -> None:
    (spec,) = specs_of(["size_share_7d"])
    assert (spec.entity, spec.window) == ("org", "7d")
    (spec,) = specs_of(["amount"])
    assert (spec.entity, spec.window, spec.signals) == ("", "", ())
    with pytest.raises(ModelError, match="shoe_size"):
        specs_of(["amount", "shoe_size"])


NAN = math.nan


@pytest.mark.parametrize(
    ("op", "values", "scale", "expected"),
    [
        ("value", (7,), 1.0, 7.0),
        ("value", (7,), 0.5, 3.5),
        ("value", (True,), 1.0, 1.0),
        ("value", (None,), 1.0, NAN),
        ("ratio", (3, 4), 2.0, 1.5),
        ("ratio", (3, 0), 1.0, NAN),
        ("ratio", (None, 4), 1.0, NAN),
        ("ratio", (3, None), 1.0, NAN),
        ("against_mean", (10, 40, 8), 1.0, 2.0),
        ("against_mean", (10, 0, 8), 1.0, NAN),
        ("dear_share", (1, 4, 60), 1.0, 0.25),
        ("dear_share", (1, 4, 50), 1.0, 0.25),
        ("dear_share", (1, 4, 49), 1.0, 0.75),
        ("dear_share", (1, 0, 60), 1.0, NAN),
        ("absent", (True,), 1.0, 0.0),
        ("absent", (0,), 1.0, 1.0),
    ],
)
def test_an_operation_says_what_it_says(
    op: str, values: tuple[Any, ...], scale: float, expected: float
) -> None:
    names = tuple(f"f{n}" for n in range(len(values)))
    spec = FeatureSpec("one", "count", Formula(op, names, scale))
    told = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    (found,) = Assembler([spec]).vector(told)
    assert type(found) is float
    assert found == expected or (math.isnan(found) and math.isnan(expected))


@pytest.mark.parametrize(
    ("here", "home", "expected"), [("DE", "DE", 0.0), ("DE", "FR", 1.0), (None, "FR", NAN)]
)
def test_where_a_request_comes_from_is_compared_with_where_bills_go(
    here: str | None, home: str, expected: float
) -> None:
    told = {"org.country": home} | ({"context.country": here} if here else {})
    (found,) = Assembler(specs_of(["foreign"])).vector(told)
    assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_a_default_stands_for_what_is_missing() -> None:
    spec = FeatureSpec("one", "count", Formula("value", ("f0",)), default=-1.0)
    assert Assembler([spec]).vector({}) == (-1.0,)
    assert Assembler([spec]).vector({"f0": 5}) == (5.0,)


def test_with_nothing_known_all_is_missing() -> None:
    assert all(math.isnan(value) for value in Assembler(FEATURES).vector({}))
