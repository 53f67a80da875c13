"""Names and docstrings use the field's words: gateway/WORDS.md says which, and which never."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.house.source import ROOT, python_files, shown, tree

BOOK = ROOT / "gateway/WORDS.md"
BANNED = (
    "told", "tell", "tells", "telling", "heard", "hear", "hears", "unheard", "undo", "undone",
    "stand", "stands", "standing", "behind", "met", "meets", "whoever", "nobody", "somebody",
    "hand in", "handed in", "hands in", "put in force", "take back", "takes back", "backstage",
    "chore", "chores", "moment", "moments", "whole number", "whole numbers", "warm", "warmed",
    "warming", "cold", "lookback", "gathering", "tally", "tallies", "tallying",
)  # fmt: skip
WORD = re.compile(rf"\b({'|'.join(BANNED)})\b")
CITED = re.compile(r"`[^`]*`|stand-in", re.IGNORECASE)
"""Identifiers that a docstring cites, and a term that has a banned word in it."""
CLAUSE = re.compile(r"(What|Who|Whose|How|Which)\b")
PARTS = re.compile(r"_+|(?<=[a-z])(?=[A-Z])")
PLAIN = (
    "gateway/cli",
    "gateway/client",
    "gateway/flows/accounts",
    "gateway/flows/analysis",
    "gateway/flows/books",
    "gateway/flows/decisions",
    "gateway/flows/operations",
    "gateway/flows/risk",
    "gateway/flows/rollout",
    "gateway/flows/shared",
    "gateway/flows/spend",
    "gateway/http",
    "gateway/settings.py",
    "gateway/wire",
    "gateway/wiring",
    "gateway/catalog",
    "gateway/core",
    "gateway/errors.py",
    "gateway/ledger",
    "gateway/observe",
    "gateway/sql",
    "gateway/store",
    "models",
    "rules",
)
"""Rooms that were rewritten; the others follow."""


def private_words(module: ast.Module) -> Iterator[str]:
    """Each banned word in a docstring or in the name of a function or class, with its place."""
    for node in ast.walk(module):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for part in PARTS.split(node.name.replace("StandIn", "").replace("stand_in", "")):
            if part.lower() in BANNED:
                yield f"line {node.lineno}: the name {node.name} has {part.lower()!r}"
    for line, said in docstrings(module):
        for word in WORD.findall(CITED.sub("", said).lower()):
            yield f"line {line}: the docstring has {word!r}"


def docstrings(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Each docstring with its line: of the module, of classes, functions, constants and members."""
    for node in ast.walk(module):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield getattr(node, "lineno", 1), ast.get_docstring(node) or ""
        for before, after in pairwise(body):
            if isinstance(before, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
                said = after.value
                if isinstance(said, ast.Constant) and isinstance(said.value, str):
                    yield after.lineno, said.value


@pytest.mark.parametrize("path", python_files(*PLAIN), ids=shown)
def test_names_and_docstrings_use_the_fields_words(path: Path) -> None:
    assert list(private_words(tree(path))) == []


def clauses(module: ast.Module) -> Iterator[str]:
    """Each docstring that begins with a relative clause where a noun would do, with its place."""
    for line, said in docstrings(module):
        if CLAUSE.match(said):
            yield f"line {line}: {said.splitlines()[0]}"


@pytest.mark.parametrize("path", python_files("gateway", "rules", "models"), ids=shown)
def test_a_docstring_begins_with_a_noun_or_a_verb(path: Path) -> None:
    assert list(clauses(tree(path))) == []


def test_the_guard_sees_a_relative_clause() -> None:
    source = (
        'def a():\n    """What a hold has."""\nB = 1\n"""How long it lives."""\nC = 2\n"""Life."""'
    )
    found = ["line 4: How long it lives.", "line 1: What a hold has."]
    assert list(clauses(ast.parse(source))) == found


def test_every_plain_room_exists() -> None:
    assert [room for room in PLAIN if not (ROOT / room).exists()] == []


def test_a_word_has_one_row() -> None:
    rows = [line.split("|")[1].strip() for line in BOOK.read_text("utf-8").splitlines()
            if line.startswith("| ")]  # fmt: skip
    assert len(rows) == len(set(rows)) > 20


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('def told():\n    """Return it."""', ["told"]),
        ('class A:\n    """What nobody heard of."""', ["nobody", "heard"]),
        ("def is_warm_yet(): ...", ["warm"]),
        ('"""A stand-in approval; tolders."""', []),
        ('def held():\n    """What is held."""', []),
    ],
)
def test_the_guard_sees_private_words(source: str, words: list[str]) -> None:
    found = [line.rsplit(" ", 1)[1].strip("'") for line in private_words(ast.parse(source))]
    assert found == words
