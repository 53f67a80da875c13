"""The README's examples, run as they stand against a real gateway."""

from __future__ import annotations

import re
import subprocess
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateways import ADMIN_KEY, Caller, Gateway, running

README = Path(__file__).parents[2] / "README.md"


def block(language: str, marker: str) -> str:
    """The code block of that language that contains the marker."""
    found = re.findall(rf"```{language}\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    return next(code for code in found if marker in code)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of this module's own: the examples set prices for all."""
    with running(tmp_path_factory.mktemp("readme")) as found:
        yield found


def test_the_shell_example_gets_a_request_allowed_and_shows_what_is_left(gateway: Gateway) -> None:
    script = block("sh", "call() {")
    assert "http://127.0.0.1:8080" in script and "Bearer secret" in script
    script = script.replace("http://127.0.0.1:8080", gateway.address)
    script = script.replace("Bearer secret", f"Bearer {ADMIN_KEY}")
    run = subprocess.run(
        ["bash", "-euc", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "urn:spendgate:problem" not in run.stdout, run.stdout
    assert '"decision":"allow"' in run.stdout
    assert '"available_micros":4989000' in run.stdout


async def test_the_python_example_pays_for_what_was_used(gateway: Gateway, caller: Caller) -> None:
    await caller.org("acme", 1_000_000)
    module = types.ModuleType("readme")
    exec(block("python", "async def chat"), module.__dict__)
    assert await module.chat(gateway.address, ADMIN_KEY) == 260
