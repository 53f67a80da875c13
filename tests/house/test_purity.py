"""Purity is a wall: core, rules and models read no clock, no chance, no file and no socket."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.source import imported, lies_in, python_files, shown, tree

OFFLINE = (
    "models/train_command.py",
    "models/evaluate.py",
    "models/compile_process.py",
    "models/handbook.py",
)
"""Run on files, in processes of their own, never in a decision: the only ones that may do I/O."""

IMPURE = (
    "os", "io", "sys", "time", "random", "secrets", "uuid", "socket", "ssl", "select", "selectors",
    "asyncio", "threading", "multiprocessing", "concurrent", "subprocess", "signal", "pathlib",
    "shutil", "tempfile", "sqlite3", "urllib", "http", "logging", "contextvars",
)  # fmt: skip
CORE_MAY_IMPORT = (
    "__future__", "abc", "bisect", "collections", "copy", "dataclasses", "datetime", "decimal",
    "enum", "fractions", "functools", "heapq", "itertools", "math", "operator", "re", "types",
    "typing", "zoneinfo", "msgspec", "gateway.core", "gateway.errors",
)  # fmt: skip
CLOCKS = (
    "now", "today", "utcnow", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter",
    "perf_counter_ns",
)  # fmt: skip
DOORS = ("open", "print", "input", "breakpoint")
ASYNC = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)

PURE = [p for p in python_files("gateway/core", "rules", "models") if shown(p) not in OFFLINE]
CORE = python_files("gateway/core")


def impurities(module: ast.Module) -> Iterator[str]:
    """What a module does that a pure one must not, with its line."""
    for name, line in imported(module):
        if any(lies_in(name, impure) for impure in IMPURE):
            yield f"{line}: imports {name}"
    for node in ast.walk(module):
        if isinstance(node, ASYNC) or (isinstance(node, ast.comprehension) and node.is_async):
            yield f"{getattr(node, 'lineno', 0)}: is async"
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in (*DOORS, *CLOCKS):
                yield f"{node.lineno}: calls {called.id}()"
            if isinstance(called, ast.Attribute) and called.attr in CLOCKS:
                yield f"{node.lineno}: calls .{called.attr}()"


def test_there_is_a_core_to_guard() -> None:
    assert {p.name for p in CORE} >= {"decision.py", "machine.py", "money.py", "windows.py"}


@pytest.mark.parametrize("path", PURE, ids=shown)
def test_a_pure_module_has_no_clock_no_chance_no_io_and_no_async(path: Path) -> None:
    assert list(impurities(tree(path))) == []


@pytest.mark.parametrize("path", CORE, ids=shown)
def test_core_imports_only_pure_standard_modules_msgspec_itself_and_errors(path: Path) -> None:
    strangers = [
        f"{line}: {name}"
        for name, line in imported(tree(path))
        if not any(lies_in(name, known) for known in CORE_MAY_IMPORT)
    ]
    assert strangers == []


@pytest.mark.parametrize("path", CORE, ids=shown)
def test_core_keeps_nothing_between_calls(path: Path) -> None:
    """A module's names are bound once: no `global`, so no state outside of values."""
    assert [n.lineno for n in ast.walk(tree(path)) if isinstance(n, ast.Global)] == []


@pytest.mark.parametrize(
    "code",
    [
        "import os",
        "import os.path",
        "from os import path",
        "from time import time",
        "def late():\n    import random",
        "import asyncio",
        "import threading",
        "from datetime import datetime\nx = datetime.now()",
        "from datetime import datetime\nx = datetime.utcnow()",
        "from datetime import date\nx = date.today()",
        "x = time()",
        "x = clock.time_ns()",
        "x = open('f')",
        "print('x')",
        "async def f(): ...",
        "async def f():\n    await g()",
        "async def f():\n    return [x async for x in y]",
    ],
)
def test_the_guard_sees(code: str) -> None:
    assert list(impurities(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "from datetime import datetime, timedelta",
        "def f(now_ms: int) -> int:\n    return now_ms",
        "from gateway.core.windows import bounds",
        "x = opened(1)",
        "from osmosis import x",
    ],
)
def test_the_guard_lets_pass(code: str) -> None:
    assert list(impurities(ast.parse(code))) == []
