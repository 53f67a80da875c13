"""Compile trees to one Python function: a score takes microseconds and needs no library.

Each tree becomes one expression of nested choices. Its numbers are literals that read back to the
same float64, so the sum is the forest's to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import CodeType

from models.trees import LEAF, Forest, Tree, calibrated, probability

LARGEST = "1e999"
"""Literal that reads as infinity, for which Python has none."""


def code_of(forest: Forest, features: int) -> CodeType:
    """Compile `raw(f0, f1, …)`; a large forest takes a while."""
    return compile(source_of(forest, features), "<model>", "exec")


def source_of(forest: Forest, features: int) -> str:
    """Return the source of `raw(f0, f1, …)`."""
    arguments = ", ".join(f"f{n}" for n in range(features))
    lines = [f"def raw({arguments}):", f"    s = {_literal(forest.baseline)}"]
    lines += [f"    s += {_expression(tree, 0)}" for tree in forest.trees]
    return "\n".join([*lines, "    return s", ""])


def _expression(tree: Tree, node: int) -> str:
    feature = tree.feature[node]
    if feature == LEAF:
        return _literal(tree.value[node])
    threshold = _literal(tree.threshold[node])
    # No comparison with NaN is true: so the plain one sends a missing value right, and the
    # negated opposite sends it left, without a check.
    goes_left = f"f{feature} <= {threshold}"
    if tree.missing_left[node]:
        goes_left = f"not f{feature} > {threshold}"
    left, right = _expression(tree, tree.left[node]), _expression(tree, tree.right[node])
    return f"({left} if {goes_left} else {right})"


def _literal(number: float) -> str:
    return repr(float(number)).replace("inf", LARGEST)


class Scorer:
    """Scores with the code of one forest and its calibration; immutable once made."""

    def __init__(self, code: CodeType, calibration: Sequence[tuple[float, float]] = ()) -> None:
        scope: dict[str, Callable[..., float]] = {}
        self.code = code
        exec(code, {"__builtins__": {}}, scope)  # noqa: S102  made of numbers alone, by _literal
        self.raw = scope["raw"]
        """Returns the log-odds of feature values, one argument each."""
        self._calibration = tuple(calibration)

    def score(self, values: Sequence[float]) -> float:
        """Return the calibrated probability of feature values; NaN is missing."""
        return calibrated(self._calibration, probability(self.raw(*values)))
