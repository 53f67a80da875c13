"""`spendgate ledger`: verify the chain, print its head."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gateway.cli.options import DataDir, LedgerUrl, settings_of
from gateway.cli.process import say
from gateway.core.windows import DAY_MS
from gateway.ledger.batch import Head
from gateway.ledger.days import date_of
from gateway.ledger.history import History
from gateway.ledger.pruning import Pruner
from gateway.ledger.verify import Verdict
from gateway.ledger.verify import verify as verify_chain
from gateway.settings import Settings
from gateway.sql.engine import open_engine

app = typer.Typer(no_args_is_help=True, help="The ledger: verify it, tell its head.")


@app.command("verify")
def verify(data_dir: DataDir = None, ledger_url: LedgerUrl = None) -> None:
    """Verify every row and the chain of batches; exit 1 names the first that is wrong."""
    verdict = asyncio.run(_verify(settings_of(data_dir, None, ledger_url)))
    pruned = f" ({verdict.pruned} of them pruned)" if verdict.pruned else ""
    say(f"verified {verdict.batches} batches, {verdict.rows} records{pruned}")
    say(f"head: batch {verdict.head.n} {verdict.head.hash.hex()}")
    if verdict.fault:
        say(f"wrong: {verdict.fault}")
        raise typer.Exit(1)


@app.command("head")
def head(data_dir: DataDir = None, ledger_url: LedgerUrl = None) -> None:
    """Print number and hash of the head of the chain, to be published out of reach."""
    found = asyncio.run(_head(settings_of(data_dir, None, ledger_url)))
    say(f"{found.n} {found.hash.hex()}")


@app.command("prune")
def prune(
    days: Annotated[int, typer.Argument(help="how many days of the decision log to keep")],
    export: Annotated[Path | None, typer.Option(help="write them here as Parquet first")] = None,
    data_dir: DataDir = None,
    ledger_url: LedgerUrl = None,
) -> None:
    """Remove old days of the decision log; charges and postings stay."""
    settings = replace(settings_of(data_dir, None, ledger_url), keep_records_days=days)
    removed = asyncio.run(_prune(settings, export))
    for day, rows in removed.items():
        say(f"removed {rows} records of {date_of(day)}")
    say(f"{len(removed)} days removed")


async def _prune(settings: Settings, export: Path | None) -> dict[int, int]:
    engine = open_engine(settings.sql_url("ledger"))
    now_ms = time.time_ns() // 1_000_000
    try:
        before = now_ms // DAY_MS - settings.keep_records_days
        return await Pruner(engine).prune(before, export, now_ms)
    finally:
        await engine.dispose()


async def _verify(settings: Settings) -> Verdict:
    engine = open_engine(settings.sql_url("ledger"))
    console = Console(stderr=True)
    try:
        with console.status("verifying") as status:
            return await verify_chain(
                History(engine), lambda rows: status.update(f"verified {rows:,} records")
            )
    finally:
        await engine.dispose()


async def _head(settings: Settings) -> Head:
    engine = open_engine(settings.sql_url("ledger"))
    try:
        return await History(engine).head()
    finally:
        await engine.dispose()
