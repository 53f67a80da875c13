"""`spendgate rules`: files of rules, read and tried before anybody hands them in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.running import say
from gateway.errors import OperatorError
from rules.errors import RuleError
from rules.rehearsal import rehearse
from rules.ruleset import RuleSet, load

app = typer.Typer(help="Files of fraud rules.", no_args_is_help=True)
File = Annotated[Path, typer.Argument(help="a file of rules")]


@app.command()
def lint(file: File) -> None:
    """Read a file, and say what it reads and who its rules stop; 2 if it is wrong."""
    ruleset = _read(file)
    say(f"{ruleset.id}: {len(ruleset.rules)} rules, which read {len(ruleset.inputs)} things")
    for rule in ruleset.rules:
        tried = f"{len(rule.examples)} examples" if rule.examples else "no example"
        say(f"  {rule.action:<9} {rule.id}: {tried}")


@app.command()
def test(file: File) -> None:
    """Try each rule on its own examples; 1 if one is not as it says, 2 if the file is wrong."""
    ruleset = _read(file)
    failures = rehearse(ruleset)
    for failure in failures:
        say(f"{file}: {failure}")
    count = sum(len(rule.examples) for rule in ruleset.rules)
    say(f"{count - len(failures)} of {count} examples are as their rules say")
    if failures:
        raise typer.Exit(1)


@app.command()
def diff(before: File, after: File) -> None:
    """Say which rules are new, gone or changed; 1 if any is."""
    old, new = ({rule.id: rule for rule in _read(file).rules} for file in (before, after))
    told = [f"gone     {name}" for name in old.keys() - new.keys()]
    told += [f"new      {name}" for name in new.keys() - old.keys()]
    for name in old.keys() & new.keys():
        for part in ("action", "when", "reason", "expires_ms"):
            was, now = getattr(old[name], part), getattr(new[name], part)
            if was != now:
                told.append(f"changed  {name}: {part} was {was!r}, is {now!r}")
    for line in sorted(told):
        say(line)
    if told:
        raise typer.Exit(1)


def _read(file: Path) -> RuleSet:
    try:
        return load(file.read_text("utf-8"))
    except OSError as error:
        raise OperatorError("no_file", f"{file} cannot be read: {error.strerror}") from None
    except (RuleError, UnicodeDecodeError) as error:
        raise OperatorError("invalid_rule", f"{file}: {error}") from None
