"""`spendgate rules`: files of rules, read and tried; and rule sets of a gateway that runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from gateway.cli.api_client import ADDRESS, Key, Url, call, faults, text_of
from gateway.cli.process import say
from gateway.cli.times import Since, Until, rfc3339_of, span_of
from gateway.client import Spendgate
from gateway.core.money import shown
from gateway.errors import OperatorError
from rules.errors import RuleError
from rules.rehearsal import rehearse
from rules.ruleset import RuleSet, load

app = typer.Typer(help="Files of fraud rules.", no_args_is_help=True)
SETS = "/v1/rulesets"
FOLLOWED_EVERY_S = 0.5
RuleSetId = Annotated[str, typer.Argument(help="the id that submit said")]
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


@app.command()
def submit(
    file: File,
    name: Annotated[str | None, typer.Option(help="what people call it")] = None,
    url: Url = ADDRESS,
    key: Key = "",
) -> None:
    """Submit a file as a draft, and say its id."""
    say(call(url, key, SETS, {"text": text_of(file), "name": name})["id"])


@app.command("list")
def list_all(url: Url = ADDRESS, key: Key = "") -> None:
    """Say which rule sets there are, the newest first, and what each does."""
    for one in call(url, key, SETS, method="GET")["rulesets"]:
        share = f" {one['percent']} %" if one["mode"] == "active" else ""
        say(f"{one['id']} {one['mode']:<8}{share} {one['created_at']} {one['name'] or ''}".rstrip())


@app.command()
def show(ruleset: RuleSetId, url: Url = ADDRESS, key: Key = "") -> None:
    """Print a rule set's file, as it was submitted."""
    say(call(url, key, f"{SETS}/{ruleset}", method="GET")["text"].rstrip("\n"))


@app.command()
def backtest(
    file: File, since: Since = None, until: Until = None, url: Url = ADDRESS, key: Key = ""
) -> None:
    """Try a file on what was decided, the last day without a span, and say what it would do."""
    ruleset = call(url, key, SETS, {"text": text_of(file)})["id"]
    found = asyncio.run(
        _followed(url, key, ruleset, {"from": rfc3339_of(since), "to": rfc3339_of(until)})
    )
    say(
        f"{ruleset}: of {found['requests']} requests it would stop {found['stopped']},"
        f" of {shown(found['amount_micros'], '')} {shown(found['stopped_micros'], '')}"
    )
    if found["fraud"] or found["good_stopped"]:
        say(
            f"by their labels: of {found['fraud']} frauds it would stop {found['fraud_stopped']},"
            f" and {found['good_stopped']} good requests"
        )
    for rule in found["rules"]:
        alone = "adds nothing" if not rule["alone"] else f"{rule['alone']} matched by it alone"
        say(
            f"  {rule['rule']}: {rule['requests']} requests, {shown(rule['amount_micros'], '')};"
            f" {alone}; {' '.join(rule['examples'][:2])}"
        )


@app.command()
def report(
    ruleset: RuleSetId,
    since: Since = None,
    until: Until = None,
    url: Url = ADDRESS,
    key: Key = "",
) -> None:
    """Say what a rule set matches, today without a span, up to now. Whole days (UTC) count."""
    query = span_of(since, until)
    found = call(url, key, f"{SETS}/{ruleset}/report{query}", method="GET")
    for mode, requests in sorted(found["requests"].items()):
        say(f"{ruleset}: {requests} requests, {mode}")
    for rule in found["rules"]:
        money = ", ".join(shown(n, name) for name, n in rule["amount_micros"].items())
        say(
            f"  {rule['rule']} ({rule['mode']}): {rule['requests']} requests, {money};"
            f" fraud {rule['fraud']}, good {rule['good']}"
        )


@app.command()
def activate(
    ruleset: RuleSetId,
    mode: Annotated[str, typer.Option(help="active, shadow or retired")] = "active",
    percent: Annotated[int | None, typer.Option(help="its share of orgs")] = None,
    note: Annotated[str | None, typer.Option(help="why")] = None,
    force: Annotated[bool, typer.Option(help="whatever it would stop; needs a note")] = False,
    url: Url = ADDRESS,
    key: Key = "",
) -> None:
    """Set what a rule set does, and say what is in force then."""
    body = {"mode": mode, "percent": percent, "note": note, "force": force}
    _say_in_force(call(url, key, f"{SETS}/{ruleset}/activate", body))


@app.command()
def rollback(url: Url = ADDRESS, key: Key = "") -> None:
    """Activate the previous rule set."""
    _say_in_force(call(url, key, f"{SETS}/rollback", {}))


def _say_in_force(standing: dict[str, Any]) -> None:
    for share in standing["active"]:
        say(f"active {share['ruleset']} {share['percent']} %")
    for ruleset in standing["shadows"]:
        say(f"shadow {ruleset}")
    if not standing["active"]:
        say("no rule set decides")


async def _followed(url: str, key: str, ruleset: str, span: dict[str, Any]) -> dict[str, Any]:
    """A backtest, followed until it ends; cancelled with the command."""
    with faults(url):
        async with Spendgate(url, key, timeout_s=120) as gateway:
            path = f"/v1/rulesets/{ruleset}/backtest"
            found: dict[str, Any] = await gateway.call("POST", path, span)
            path = f"/v1/backtests/{found['id']}"
            with Progress(console=Console(stderr=True), transient=True) as bar:
                row = bar.add_task("records", total=None)
                try:
                    while found["state"] == "running":
                        bar.update(row, completed=found["looked_at"], total=found["rows"] or None)
                        await asyncio.sleep(FOLLOWED_EVERY_S)
                        found = await gateway.call("GET", path)
                except asyncio.CancelledError:
                    await gateway.call("DELETE", path)
                    raise
    if found["state"] != "done":
        raise OperatorError("no_backtest", f"{found['id']}: {found['detail'] or found['state']}")
    return found


def _read(file: Path) -> RuleSet:
    try:
        return load(text_of(file))
    except RuleError as error:
        raise OperatorError("invalid_rule", f"{file}: {error}") from None
