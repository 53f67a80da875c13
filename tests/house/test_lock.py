"""The lock file installs on every Python that pyproject.toml admits."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, requires

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.house.source import ROOT

PYTHONS = ("3.11.0", "3.11.2", "3.11.7", "3.12.1", "3.13.0")


def locked(python: str) -> set[str]:
    """Names that the lock pins for this Python."""
    found = set()
    for line in (ROOT / "requirements.lock").read_text("utf-8").splitlines():
        if line[:1].isalnum():
            requirement = Requirement(line.removesuffix("\\").strip())
            if applies(requirement, python):
                found.add(canonicalize_name(requirement.name))
    return found


def applies(requirement: Requirement, python: str) -> bool:
    at = {"python_full_version": python, "python_version": python.rsplit(".", 1)[0], "extra": ""}
    return requirement.marker is None or requirement.marker.evaluate(at)


@pytest.mark.parametrize("python", PYTHONS)
def test_whatever_a_locked_package_needs_is_locked_too(python: str) -> None:
    pinned = locked(python)
    missing = []
    for name in pinned:
        try:
            needs = [Requirement(text) for text in requires(name) or ()]
        except PackageNotFoundError:
            continue  # Not for the Python that runs this test.
        missing += [
            f"{name} needs {need.name}"
            for need in needs
            if applies(need, python) and canonicalize_name(need.name) not in pinned
        ]
    assert missing == []


def test_the_pythons_tried_are_admitted() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert all(python in SpecifierSet(project["requires-python"]) for python in PYTHONS)
    assert len(locked("3.11.7")) > 50
