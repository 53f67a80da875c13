"""Keys and names are joined and split in two files; everybody else asks them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.house.source import ROOT, python_files, shown, tree

JOINERS = ("gateway/core/names.py", "gateway/store/keys.py")
OTHERS = {
    "gateway/store/library.py": "paths of files",
    "gateway/store/pipeline.py": "the path of a url",
    "gateway/wire/ids.py": "steps of a json pointer",
    "gateway/wire/decode.py": "steps of a json pointer",
    "gateway/wire/openapi.py": "paths of urls",
    "gateway/core/pricing.py": "steps of a json pointer",
    "gateway/store/embedded.py": "the path of a socket",
    "gateway/sql/engine.py": "urls",
    "gateway/ledger/verify.py": "a sentence",
}
"""Files whose slashes are of something else."""
SPLITTERS = {"split", "rsplit", "partition", "rpartition", "removeprefix", "removesuffix",
             "startswith", "endswith"}  # fmt: skip
ROOMS = ("core", "store", "ledger", "catalog", "flows", "wire", "sql")
FILES = [p for room in ROOMS for p in python_files(f"gateway/{room}")]


def joins_or_splits(node: ast.AST) -> bool:
    """Whether a piece of code puts a slash between values, or takes text apart at one."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
        return node.func.attr in SPLITTERS and any("/" in str(text) for text in texts)
    if isinstance(node, ast.JoinedStr):
        # A slash at the very beginning is a pointer's or a path's.
        texts = [str(v.value) for v in node.values if isinstance(v, ast.Constant)]
        begins = bool(texts) and isinstance(node.values[0], ast.Constant) and texts[0][:1] == "/"
        return not begins and any("/" in text and " " not in text for text in texts)
    return False


@pytest.mark.parametrize("path", FILES, ids=shown)
def test_only_two_files_join_and_split_keys(path: Path) -> None:
    if shown(path) in (*JOINERS, *OTHERS):
        return
    found = [node.lineno for node in ast.walk(tree(path)) if joins_or_splits(node)]
    assert found == [], f"{shown(path)}: use gateway.core.names"


@pytest.mark.parametrize(
    "code",
    ["name.rpartition('/')[2]", "f'{a}/{b}'", "f'g/{grant}'", "m.startswith('grant/')"],
)
def test_the_guard_sees_each_way(code: str) -> None:
    assert any(joins_or_splits(node) for node in ast.walk(ast.parse(code)))


def test_the_files_it_names_exist() -> None:
    assert all((ROOT / name).is_file() for name in (*JOINERS, *OTHERS))
