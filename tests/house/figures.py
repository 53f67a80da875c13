"""`python -m tests.house.figures [DIR …]`: how long functions and modules are, how much is said.

Of the house, and of any other package whose directory is named. Tests and migrations do not count.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from dataclasses import dataclass, field
from pathlib import Path

from tests.house.source import PACKAGES, ROOT

LEFT_OUT = {"tests", "_tests", "migrations"}
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Figures:
    """Lengths in lines, and counts."""

    functions: list[int] = field(default_factory=list)
    modules: list[int] = field(default_factory=list)
    comments: int = 0
    docstrings: list[int] = field(default_factory=list)

    def add(self, path: Path) -> None:
        """Count one module."""
        text = path.read_text("utf-8")
        self.modules.append(len(text.splitlines()))
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        self.comments += len({t.start[0] for t in tokens if t.type == tokenize.COMMENT})
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.functions.append((node.end_lineno or node.lineno) - node.lineno + 1)
            if isinstance(node, Documented) and (said := ast.get_docstring(node)):
                self.docstrings.append(len(said.splitlines()))

    def line(self, name: str) -> str:
        """One row of the table."""
        one_line = sum(lines == 1 for lines in self.docstrings) / max(1, len(self.docstrings))
        return (
            f"{name:<24} functions {spread(self.functions):<14} modules {spread(self.modules):<16}"
            f" comments {self.comments / max(1, sum(self.modules)):5.1%}"
            f"  one-line docstrings {one_line:4.0%} of {len(self.docstrings)}"
        )


def spread(values: list[int]) -> str:
    """Median, 90th percentile and maximum."""
    ordered = sorted(values) or [0]
    at = (len(ordered) // 2, len(ordered) * 9 // 10, len(ordered) - 1)
    return " / ".join(str(ordered[place]) for place in at)


def of(directory: Path) -> Figures:
    """The figures of a package."""
    found = Figures()
    for path in sorted(directory.rglob("*.py")):
        if not LEFT_OUT & set(path.relative_to(directory).parts):
            found.add(path)
    return found


def main() -> None:
    """Print a row for each."""
    for directory in [*(ROOT / name for name in PACKAGES), *map(Path, sys.argv[1:])]:
        sys.stdout.write(of(directory).line(directory.name) + "\n")


if __name__ == "__main__":
    main()
