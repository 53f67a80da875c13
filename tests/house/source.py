"""The house's files, as its tests read them."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGES = ("gateway", "rules", "models", "loadtests")


def python_files(*names: str) -> list[Path]:
    """Every Python file below these directories (or one file), in order."""
    found: list[Path] = []
    for name in names:
        path = ROOT / name
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return found


def shown(path: Path) -> str:
    """The path as people write it."""
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a Python file."""
    return ast.parse(path.read_text("utf-8"), shown(path))


def imported(module: ast.AST) -> Iterator[tuple[str, int]]:
    """Every module a syntax tree imports, wherever the import stands, and its line.

    `from a import b` yields a and a.b: b may be a module.
    """
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            assert node.module is not None
            yield node.module, node.lineno
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


def lies_in(module: str, package: str) -> bool:
    """Whether a dotted name is a package or lies in it."""
    return module == package or module.startswith(package + ".")


def module_name(path: Path) -> str:
    """The dotted name of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def pyproject() -> dict[str, Any]:
    """What pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
