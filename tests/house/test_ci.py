"""What continuous integration repeats: tests that failed, once, and nothing else into green."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import ROOT

CONFTEST = """
from pathlib import Path
from tests import failures

def pytest_configure(config):
    failures.listen(config)

def pytest_runtest_setup(item):
    with Path("ran").open("a") as ran:
        ran.write(item.name + "\\n")
"""
NOW_AND_THEN = """
from pathlib import Path
import pytest

def test_good():
    pass

@pytest.mark.parametrize("n", ["an odd name"])
def test_now_and_then(n):
    been = Path("been")
    is_first = not been.exists()
    been.touch()
    assert not is_first
"""
OUTER = ("PYTEST_", "MAKE", "MFLAGS")
"""What the run that this is a test of tells its own processes."""
NEVER = """
def test_bad():
    assert False
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project that is checked as this one is."""
    files = {
        "Makefile": "lint:\n\ttest ! -e unclean\ntest-together:\n\t.venv/bin/pytest $(MORE)"
        " --ignore=test_alone.py\ntest-alone:\n\t.venv/bin/pytest test_alone.py\n",
        ".venv/bin/pytest": f'#!/bin/sh\nexec {sys.executable} -m pytest -q "$@"\n',
        "pytest.ini": "[pytest]\n",
        "conftest.py": CONFTEST,
        "test_some.py": NOW_AND_THEN,
        "test_alone.py": "def test_alone():\n    pass\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / ".venv/bin/pytest").chmod(0o755)
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    return tmp_path


def checked(project: Path, more: str = "") -> tuple[bool, str, list[str]]:
    """Whether it is green, what was said, and which tests ran in which order."""
    own = {n: v for n, v in os.environ.items() if not n.startswith(OUTER)}
    environment = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "MORE": more}
    done = subprocess.run(
        [project / ".ci/run"],
        env={**own, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    ran = project / "ran"
    names = ran.read_text().splitlines() if ran.exists() else []
    return done.returncode == 0, done.stdout + done.stderr, names


def test_what_fails_once_is_repeated_alone_and_named(project: Path) -> None:
    is_green, said, ran = checked(project)
    assert is_green, said
    odd = "test_now_and_then[an odd name]"
    assert ran == ["test_good", odd, "test_alone", odd]
    flaky = [line for line in said.splitlines() if line.startswith("flaky: ")]
    assert flaky == [f"flaky: test_some.py::{odd}"]


def test_what_fails_again_is_red_and_what_passes_then_is_named_all_the_same(project: Path) -> None:
    (project / "test_alone.py").write_text(NEVER)
    is_green, said, ran = checked(project)
    assert not is_green
    assert ran[2:] == ["test_bad", "test_now_and_then[an odd name]", "test_bad"]
    assert said.count("flaky: ") == 1 and "flaky: test_alone" not in said


@pytest.mark.parametrize(
    ("name", "text", "more", "is_run"),
    [
        ("unclean", "", "", False),
        ("test_broken.py", "import nothing_of_this_name", "", False),
        ("test_then.py", "import os\n\ndef test_then():\n    os._exit(1)\n", "", True),
        ("test_then.py", "import os\n\ndef test_then():\n    os._exit(1)\n",
         "-p xdist -n 1", True),
    ],
    ids=["lint", "a file that cannot be read", "pytest dies", "a process of pytest dies"],
)  # fmt: skip
def test_nothing_else_is_repeated(
    project: Path, name: str, text: str, more: str, is_run: bool
) -> None:
    (project / name).write_text(text)
    (project / "test_some.py").write_text(NEVER)
    is_green, said, ran = checked(project, more)
    assert not is_green and "flaky: " not in said
    assert ran.count("test_bad") == is_run, said
