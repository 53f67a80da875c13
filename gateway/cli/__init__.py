"""The command `spendgate`: one file a command."""

from __future__ import annotations

import sys

import typer

from gateway.cli import backstage, backup, ledger, recover, serve, worker
from gateway.cli.demo import command as demo
from gateway.errors import SpendgateError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Spend control gateway.",
)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("doctor")(recover.doctor)
app.command("rebuild")(recover.rebuild)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.add_typer(ledger.app, name="ledger")
app.command("worker", hidden=True)(worker.worker)
app.command("backstage", hidden=True)(backstage.backstage)


def main() -> None:
    """Run a command; an operator's mistake is one clear line, not a traceback."""
    try:
        app()
    except SpendgateError as error:
        sys.stderr.write(f"spendgate: {error}\n")
        sys.exit(2)
