"""The command `spendgate`: one file for a command, or for two that belong together."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from gateway.cli.data_dir import UMASK
from gateway.errors import SpendgateError

if TYPE_CHECKING:
    import typer

COMMANDS = {
    "serve": "serve",
    "demo": "demo.command",
    "doctor": "recover",
    "rebuild": "recover",
    "backup": "backup",
    "restore": "backup",
    "ledger": "ledger",
    "rules": "rules",
    "models": "models",
    "import": "import_accounts:read",
    "worker": "worker",
    "background": "background",
}
"""Each command's module: its function of the command's name, or of the name after the colon; or
`app`, if it is several commands."""
STARTED_BY_SERVE = ("worker", "background")


def build(names: list[str]) -> typer.Typer:
    """A command line of these commands."""
    import typer  # noqa: PLC0415  what serve starts does without

    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Spend control gateway.",
    )
    # With a callback the command's name is spoken even where there is only one.
    app.callback()(lambda: None)
    for name in names:
        module = _module(name)
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            function = COMMANDS[name].partition(":")[2] or name
            app.command(name, hidden=name in STARTED_BY_SERVE)(getattr(module, function))
    return app


def _module(name: str) -> ModuleType:
    return import_module(f"{__name__}.{COMMANDS[name].partition(':')[0]}")


def main() -> None:
    """Run a command; an operator's mistake is one clear line, not a traceback."""
    os.umask(UMASK)
    # Only the modules of the command that is asked for: each process starts sooner.
    asked = [name for name in sys.argv[1:2] if name in COMMANDS]
    try:
        if len(sys.argv) == 2 and sys.argv[1] in STARTED_BY_SERVE:
            # They take no options, and the command line is a tenth of what they load.
            getattr(_module(sys.argv[1]), sys.argv[1])()
        else:
            build(asked or list(COMMANDS))()
    except SpendgateError as error:
        sys.stderr.write(f"spendgate: {error}\n")
        sys.exit(2)
