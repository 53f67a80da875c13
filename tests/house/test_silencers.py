"""Whoever silences a tool says why, beside it."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

from tests.house.source import PACKAGES, ROOT, python_files, shown

SILENCER = re.compile(r"#\s*(noqa|type:\s*ignore|pragma:|nosec|mypy:|ruff:)")
REASONED = re.compile(
    r"#\s*(?:noqa:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*|type:\s*ignore\[[a-z, -]+\]"
    r"|pragma:\s*no \w+|ruff:\s*noqa:\s*[A-Z]+\d+)"
    r"\s+(?:#\s*)?(?P<reason>\w.*\w.*)$"
)
RULE = re.compile(r'"[A-Z]{1,5}\d*"')
REASON = re.compile(r"#.*\w{3,}")

FILES = python_files(*PACKAGES, "tests")
PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8").splitlines()


def unexplained(source: str) -> list[str]:
    """Comments of a Python source that silence a tool without naming the rule and a reason."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [
        f"{token.start[0]}: {token.string}"
        for token in tokens
        if token.type == tokenize.COMMENT
        and SILENCER.search(token.string)
        and not REASONED.search(token.string)
    ]


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_every_silenced_line_names_the_rule_and_the_reason(path: Path) -> None:
    assert unexplained(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "x = 1  # noqa",
        "x = 1  # noqa: E501",
        "x = 1  # noqa: E501  ",
        "x = 1  # type: ignore",
        "x = 1  # type: ignore[arg-type]",
        "x = 1  # type: ignore  # because",
        "x = 1  # noqa because I say so",
        "# ruff: noqa",
        "# mypy: ignore-errors",
    ],
)
def test_the_guard_sees(line: str) -> None:
    assert unexplained(line)


@pytest.mark.parametrize(
    "line",
    [
        "x = 1  # noqa: S108  a socket, mode 700",
        "x = 1  # noqa: S108, E501  a socket, mode 700",
        "x = 1  # type: ignore[arg-type]  # stub too narrow",
        "x = 1  # what follows is noqa: no silencer in this sentence",
        "x = '# noqa'",
    ],
)
def test_the_guard_lets_pass(line: str) -> None:
    assert unexplained(line) == []


def ruff_ignores() -> list[tuple[int, str]]:
    """The lines of pyproject.toml that take a rule away, with their numbers."""
    found, section, is_ignore = [], "", False
    for number, line in enumerate(PYPROJECT, 1):
        if line.startswith("["):
            section, is_ignore = line, False
        elif re.match(r"(extend-)?ignore\s*=", line):
            is_ignore = True
        elif line.startswith("]"):
            is_ignore = False
        takes_away = is_ignore or section == "[tool.ruff.lint.per-file-ignores]"
        if takes_away and RULE.search(line):
            found.append((number, line))
    return found


def test_every_rule_that_ruff_leaves_out_has_its_reason_on_the_line() -> None:
    ignores = ruff_ignores()
    assert len(ignores) > 10, "the guard sees nothing any more"
    assert [(n, line) for n, line in ignores if not REASON.search(line)] == []


def test_every_exception_of_mypy_has_its_reason() -> None:
    blocks = "\n".join(PYPROJECT).split("[[tool.mypy.overrides]]")[1:]
    assert blocks
    assert [b for b in blocks if not REASON.search(b.split("\n[", maxsplit=1)[0])] == []


def test_import_linter_ignores_no_import_without_a_reason() -> None:
    """Neither does an exception hide in a contract."""
    lines = [line for line in PYPROJECT if "->" in line]
    assert [line for line in lines if not REASON.search(line)] == []
