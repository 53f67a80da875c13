"""Convert a fitted `HistGradientBoostingClassifier` to a forest.

It reads the fitted object's attributes by name, so neither this module nor serving needs
scikit-learn.
"""

from __future__ import annotations

from typing import Any

from models.errors import ModelError
from models.trees import LEAF, Forest, Tree


def forest_of(fitted: Any) -> Forest:
    """Return the forest of a fitted binary classifier. Raises ModelError if it has none.

    More than two classes, or splits by category, have no forest.
    """
    if len(fitted.classes_) != 2:
        raise ModelError("a model tells two classes apart")
    trees = tuple(_tree(predictors[0].nodes) for predictors in fitted._predictors)
    return Forest(float(fitted._baseline_prediction.ravel()[0]), trees)


def _tree(nodes: Any) -> Tree:
    names = (
        "feature_idx",
        "num_threshold",
        "missing_go_to_left",
        "left",
        "right",
        "value",
        "count",
    )
    columns = {name: nodes[name].tolist() for name in (*names, "is_leaf", "is_categorical")}
    if any(columns["is_categorical"]):
        raise ModelError("a split by category is not told: give numbers")
    leaves = [bool(is_leaf) for is_leaf in columns["is_leaf"]]
    pairs = list(zip(leaves, range(len(leaves)), strict=True))
    return Tree(
        tuple(LEAF if leaf else columns["feature_idx"][n] for leaf, n in pairs),
        tuple(0.0 if leaf else columns["num_threshold"][n] for leaf, n in pairs),
        tuple(not leaf and bool(columns["missing_go_to_left"][n]) for leaf, n in pairs),
        tuple(0 if leaf else columns["left"][n] for leaf, n in pairs),
        tuple(0 if leaf else columns["right"][n] for leaf, n in pairs),
        tuple(columns["value"][n] if leaf else 0.0 for leaf, n in pairs),
        tuple(map(float, columns["count"])),
    )


def gains_of(fitted: Any, features: int) -> list[float]:
    """Return the total gain of the splits by each feature."""
    found = [0.0] * features
    for predictors in fitted._predictors:
        nodes = predictors[0].nodes
        for feature, gain, is_leaf in nodes[["feature_idx", "gain", "is_leaf"]].tolist():
            if not is_leaf:
                found[feature] += float(gain)
    return found
