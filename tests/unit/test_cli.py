"""The command line: each command alone, and all of them together."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from gateway.cli import COMMANDS, STARTED_BY_SERVE, build


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_the_same_alone_and_among_all(name: str) -> None:
    alone, among_all = (
        CliRunner().invoke(build(names), [name, "--help"]) for names in ([name], list(COMMANDS))
    )
    assert alone.exit_code == among_all.exit_code == 0, (alone.output, among_all.output)
    assert alone.output == among_all.output
    assert name in alone.output


def test_help_names_every_command_but_those_that_serve_starts() -> None:
    told = CliRunner().invoke(build(list(COMMANDS)), ["--help"]).output
    assert {name for name in COMMANDS if f" {name} " in told} == COMMANDS.keys() - set(
        STARTED_BY_SERVE
    )
