"""`spendgate demo`: the main job on real traffic, then a gateway that goes on serving."""

from __future__ import annotations

import asyncio
import secrets
import signal
import tempfile
import time
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway.cli.demo.audit import audit
from gateway.cli.demo.data import trace
from gateway.cli.demo.replay import Counts, Replay
from gateway.cli.demo.world import set_up
from gateway.cli.process import warn
from gateway.cli.serve import Deployment
from gateway.client import Spendgate
from gateway.settings import Settings, from_environment

console = Console()


def demo(
    once: Annotated[bool, typer.Option(help="end after the summary")] = False,
    requests: Annotated[int | None, typer.Option(help="only so many requests")] = None,
    seed: Annotated[int, typer.Option(help="decides who asks what")] = 1,
    port: Annotated[int | None, typer.Option(help="port to listen on; 0: a free one")] = None,
) -> None:
    """Replay a real hour of LLM requests through a gateway of its own, and go on serving."""
    settings = from_environment(port=port)
    if once and port is None:
        settings = replace(settings, port=0)
    with tempfile.TemporaryDirectory(prefix="spendgate-demo-") as directory:
        key = settings.admin_key or secrets.token_urlsafe(24)
        settings = replace(settings, data_dir=directory, admin_key=key)
        code = asyncio.run(_run(settings, requests, seed, once))
    raise typer.Exit(code)


async def _run(settings: Settings, requests: int | None, seed: int, once: bool) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    deployment = Deployment(settings)
    job = asyncio.create_task(_job(deployment, settings, requests, seed))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((job, stopped), return_when=asyncio.FIRST_COMPLETED)
        if not job.done():
            return 130
        is_right = await job
        if not once:
            console.print(f"\nserving at [b]{deployment.address}[/b]; the key of scope admin is")
            console.print(f"  {settings.admin_key}\nCtrl-C ends it and throws the data away.")
            await stopped
        return 0 if is_right else 1
    finally:
        job.cancel()
        stopped.cancel()
        await asyncio.gather(job, stopped, return_exceptions=True)
        await deployment.stop()


async def _job(deployment: Deployment, settings: Settings, requests: int | None, seed: int) -> bool:
    await deployment.start()
    async with Spendgate(deployment.address, settings.admin_key) as gateway:
        await set_up(gateway)
        started = time.perf_counter()
        tally = await _replay(gateway, requests, seed)
        seconds = time.perf_counter() - started
        report = await gateway.call("GET", "/v1/ledger/reconcile")
        found = await audit(gateway, tally.charges)
    return _summary(tally, seconds, report, found)


async def _replay(gateway: Spendgate, requests: int | None, seed: int) -> Counts:
    total = sum(1 for _ in trace()) if requests is None else requests
    columns = (
        TextColumn("replaying an hour of LLM requests"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[seen]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("replay", total=total, seen="")

        def step(tally: Counts) -> None:
            if tally.done % 20 == 0 or tally.done == total:
                allowed = tally.decisions["allowed"]
                denied = tally.decisions.total() - allowed
                seen = f"{allowed} allowed, {denied} denied"
                progress.update(task, completed=tally.done, seen=seen)

        return await Replay(gateway, seed, step).run(requests)


def _table(title: str, rows: list[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
    table.add_column(justify="left", min_width=28)
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def _usd(micros: int) -> str:
    return f"{micros / 1_000_000:,.6f} USD"


def _summary(tally: Counts, seconds: float, report: dict[str, Any], found: dict[str, Any]) -> bool:
    """Print what happened; whether everything agrees."""
    decisions = [(reason, f"{n:,}") for reason, n in tally.decisions.most_common()]
    console.print(_table("\ndecisions", decisions))
    console.print(_table("\ncallers", [(way, f"{n:,}") for way, n in tally.ways.most_common()]))
    sources = [(source, _usd(n)) for source, n in tally.sources.most_common()]
    console.print(_table("\nmoney captured, by source", sources))
    latencies = sorted(tally.latencies_s)
    speed = [
        ("requests", f"{tally.done:,} in {seconds:.1f} s"),
        ("authorize p50", f"{1000 * latencies[len(latencies) // 2]:.1f} ms"),
        ("authorize p99", f"{1000 * latencies[len(latencies) * 99 // 100]:.1f} ms"),
        ("ledger lag", f"{report['lag_s']:.3f} s"),
    ]
    console.print(_table("\nspeed (callers and gateway share this machine)", speed))
    books = [
        ("recomputed from the trace", _usd(found["recomputed_micros"])),
        ("answered to callers", _usd(found["answered_micros"])),
        ("revenue in the ledger", _usd(found["ledger_micros"])),
        ("unacknowledged, refunded", _usd(found["refunded_micros"])),
        ("of it owed by orgs", _usd(found["shortfall_micros"])),
        ("debits - credits", _usd(found["trial_balance_micros"])),
    ]
    console.print(_table("\nbooks", books))
    agree = found["recomputed_micros"] == found["answered_micros"] == found["ledger_micros"]
    is_right = bool(report["ok"]) and agree and found["trial_balance_micros"] == 0
    console.print(f"\nreconcile: {'ok' if report['ok'] else 'DIFFERENCES'}")
    if not is_right:
        warn(f"the books do not agree: {report['differences'][:5]} {found}")
    return is_right
