"""Small models made by hand, which say what a test needs of them."""

from __future__ import annotations

from typing import Any

from models.artifact import Content, ReferenceHistogram, TypicalRange, dump
from models.features import FEATURES
from models.trees import LEAF, Forest, Tree
from tests.gateways import Caller
from tests.scenarios.rules.rulebook import taken_over

NAMES = tuple(spec.name for spec in FEATURES)
USD = 1_000_000


def stump(
    feature: str, threshold: float, below: float, above: float, *, missing_left: bool
) -> Tree:
    """One question: log-odds for values up to a threshold, and for those above."""
    return Tree(
        (NAMES.index(feature), LEAF, LEAF),
        (threshold, 0.0, 0.0),
        (missing_left, False, False),
        (1, 0, 0),
        (2, 0, 0),
        (0.0, below, above),
        (100.0, 90.0, 10.0),
    )


def model(*trees: Tree, thresholds: dict[str, float] | None = None, baseline: float = 0.0) -> str:
    """A model of all features, in which some matter."""
    rows = [[float(n)] * len(NAMES) for n in range(6)] + [[float("nan")] * len(NAMES)]
    content = Content(
        NAMES,
        Forest(baseline, trees),
        (),
        {"block": 0.9, "review": 0.5} if thresholds is None else thresholds,
        {"amount": TypicalRange(0.0, 2.0 * USD, 0.7)},
        {"": ReferenceHistogram((0.5,), (0.9, 0.1, 0.0))},
        {"data": "made by hand", "rows": 0},
    )
    return dump(content, rows)


BY_AMOUNT = model(
    stump("amount", 1.0 * USD, -4.0, 0.1, missing_left=True),
    stump("amount", 3.0 * USD, 0.0, 5.0, missing_left=True),
)
"""Up to 1 USD good, more to be looked at, more than 3 USD blocked."""


async def submit(caller: Caller, text: str) -> str:
    return str((await caller.ok("POST", "/v1/models", {"text": text}))["id"])


async def in_force(caller: Caller, text: str, mode: str = "active", **more: Any) -> str:
    """Put a model in force, and wait until all workers know."""
    name = await submit(caller, text)
    body = {"mode": mode, "force": True, "note": "a test's own", **more}
    await caller.ok("POST", f"/v1/models/{name}/activate", body)
    await taken_over(caller)
    return name
