"""Options that commands on a deployment share."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.settings import Settings, from_environment

DataDir = Annotated[str | None, typer.Option(help="where a deployment's files are kept")]
StoreUrl = Annotated[str | None, typer.Option(help="its store; empty: embedded in data-dir")]
LedgerUrl = Annotated[str | None, typer.Option(help="its ledger; empty: in data-dir")]


def settings_of(data_dir: str | None, store_url: str | None, ledger_url: str | None) -> Settings:
    """The settings of a deployment, from options and the environment."""
    return from_environment(data_dir=data_dir, store_url=store_url, ledger_url=ledger_url)
