"""`spendgate rules` on files: what is right, what fails, what changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.rules import app
from gateway.errors import OperatorError

GOOD = """rules:
  - id: large
    action: block
    when: amount > 5 USD
    reason: large
    examples:
      - {facts: {amount: 6 USD}, expect: match}
      - {facts: {}, expect: unknown}
"""


def run(*arguments: str | Path) -> tuple[int, str]:
    found = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(found.exception, OperatorError):
        raise found.exception
    return found.exit_code, found.output


def written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_a_good_file_passes_and_is_told(tmp_path: Path) -> None:
    file = written(tmp_path / "a.yaml", GOOD)
    code, told = run("lint", file)
    assert (code, "block     large: 2 examples" in told) == (0, True)
    assert run("test", file) == (0, "2 of 2 examples are as their rules say\n")


def test_an_example_that_fails_is_named(tmp_path: Path) -> None:
    code, told = run("test", written(tmp_path / "a.yaml", GOOD.replace("6 USD", "5 USD")))
    assert code == 1
    assert "line 7: large: expected match, found no match" in told


def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"a\.yaml: line 4, column 11: .*amount\?"):
        run("lint", written(tmp_path / "a.yaml", GOOD.replace("amount >", "amuont >")))
    with pytest.raises(OperatorError, match="cannot be read"):
        run("lint", tmp_path / "b.yaml")


def test_a_diff_says_what_changed(tmp_path: Path) -> None:
    before = written(tmp_path / "a.yaml", GOOD)
    after = written(tmp_path / "b.yaml", GOOD.replace("block", "review"))
    other = written(tmp_path / "c.yaml", GOOD.replace("id: large", "id: huge"))
    assert run("diff", before, before) == (0, "")
    code, told = run("diff", before, after)
    assert (code, told) == (1, "changed  large: action was 'block', is 'review'\n")
    code, told = run("diff", before, other)
    assert (code, told) == (1, "gone     large\nnew      huge\n")
