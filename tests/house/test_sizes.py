"""Nothing grows beyond what one reads at a glance."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.house.source import PACKAGES, ROOT, pyproject, python_files, shown, tree

FUNCTION_LINES, MODULE_LINES, LINE_WIDTH, FOLDER_FILES = 60, 400, 100, 15
PRAGMA = re.compile(r"\s*#\s*(noqa|type:).*$")
"""Ruff does not count a pragma at the end of a line either."""

FILES = python_files(*PACKAGES)
TESTS = python_files("tests")
LUA = sorted((ROOT / "gateway/store/lua").rglob("*.lua"))


def may_be_wide() -> set[str]:
    """Files that pyproject.toml, with a reason, lets have longer lines."""
    exempt = pyproject()["tool"]["ruff"]["lint"]["per-file-ignores"]
    return {path for path, codes in exempt.items() if "E501" in codes}


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_a_function_fits_on_a_screen(path: Path) -> None:
    functions = (
        node
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno is not None}
    assert {name: n for name, n in long.items() if n > FUNCTION_LINES} == {}


@pytest.mark.parametrize("path", [*FILES, *TESTS, *LUA], ids=shown)
def test_a_module_is_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MODULE_LINES


@pytest.mark.parametrize("path", [*FILES, *TESTS, *LUA], ids=shown)
def test_a_line_is_no_wider_than_a_page(path: Path) -> None:
    if shown(path) in may_be_wide():
        return
    lines = enumerate(path.read_text("utf-8").splitlines(), 1)
    assert [n for n, line in lines if len(PRAGMA.sub("", line)) > LINE_WIDTH] == []


def test_what_may_be_wide_exists() -> None:
    assert may_be_wide() == {p for p in may_be_wide() if (ROOT / p).is_file()}


@pytest.mark.parametrize("room", sorted((ROOT / "gateway/flows").iterdir()), ids=lambda p: p.name)
def test_a_room_of_use_cases_is_seen_at_a_glance(room: Path) -> None:
    assert len(list(room.glob("*.py")) if room.is_dir() else ()) <= FOLDER_FILES


def test_every_use_case_lies_in_a_room() -> None:
    assert [path.name for path in (ROOT / "gateway/flows").glob("*.py")] == ["__init__.py"]
