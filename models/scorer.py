"""Trees to one Python function: a score costs microseconds, and no library.

Each tree becomes one expression of nested choices; its numbers get into the code as literals that
read back to the same float64, so the sum is the forest's to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import CodeType

from models.trees import LEAF, Forest, Tree, calibrated, probability

Compiler = Callable[[str], CodeType]
"""Source to code. A large forest takes a while: whoever cannot wait lets another process do it."""
LARGEST = "1e999"
"""Read as infinity, for which Python has no literal."""


def compiled(source: str) -> CodeType:
    """Compile here and now."""
    return compile(source, "<model>", "exec")


def source_of(forest: Forest, features: int) -> str:
    """The source of `raw(f0, f1, …)`."""
    arguments = ", ".join(f"f{n}" for n in range(features))
    lines = [f"def raw({arguments}):", f"    s = {_literal(forest.baseline)}"]
    lines += [f"    s += {_expression(tree, 0)}" for tree in forest.trees]
    return "\n".join([*lines, "    return s", ""])


def _expression(tree: Tree, node: int) -> str:
    feature = tree.feature[node]
    if feature == LEAF:
        return _literal(tree.value[node])
    threshold = _literal(tree.threshold[node])
    # No comparison with a missing value is true: so one of the two sends it where it goes.
    goes_left = f"f{feature} <= {threshold}"
    if tree.missing_left[node]:
        goes_left = f"not f{feature} > {threshold}"
    left, right = _expression(tree, tree.left[node]), _expression(tree, tree.right[node])
    return f"({left} if {goes_left} else {right})"


def _literal(number: float) -> str:
    return repr(float(number)).replace("inf", LARGEST)


class Scorer:
    """Scores with one forest and its calibration. Made off the loop; then it only reads."""

    def __init__(
        self,
        forest: Forest,
        features: int,
        calibration: Sequence[tuple[float, float]] = (),
        compiler: Compiler = compiled,
    ) -> None:
        scope: dict[str, Callable[..., float]] = {}
        code = compiler(source_of(forest, features))
        exec(code, {"__builtins__": {}}, scope)  # noqa: S102  made of numbers alone, by _literal
        self.raw = scope["raw"]
        """The log-odds of the values of the features, one argument each."""
        self._calibration = tuple(calibration)

    def score(self, values: Sequence[float]) -> float:
        """The calibrated probability of the values of the features; not-a-number is missing."""
        return calibrated(self._calibration, probability(self.raw(*values)))
