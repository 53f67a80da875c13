"""`spendgate doctor`, `spendgate rebuild`: what recovery does by itself, explained and by hand."""

from __future__ import annotations

import asyncio

import typer
from rich.console import Console

from gateway.catalog.audit import Audit
from gateway.cli.options import DataDir, LedgerUrl, StoreUrl, settings_of
from gateway.cli.process import say, store_of, warn
from gateway.flows.operations.shard_recovery import ALL_SHARDS, Report, difference
from gateway.settings import Settings
from gateway.wiring.background import Background, build_background

MOST_TOLD = 10


def doctor(
    data_dir: DataDir = None, store_url: StoreUrl = None, ledger_url: LedgerUrl = None
) -> None:
    """Compare store and ledger shard by shard, and say what opening would do; 1 if anything."""
    if not asyncio.run(_doctor(settings_of(data_dir, store_url, ledger_url))):
        raise typer.Exit(1)


def rebuild(
    data_dir: DataDir = None, store_url: StoreUrl = None, ledger_url: LedgerUrl = None
) -> None:
    """Build the whole store from the ledger: balances, holds, cap windows, kept outcomes."""
    report = asyncio.run(_rebuild(settings_of(data_dir, store_url, ledger_url)))
    say(
        f"rebuilt {report.rebuilt} shards with {report.restored} entries;"
        f" {report.handed_in} records handed in, {report.lost} lost"
    )


async def _doctor(settings: Settings) -> bool:
    async with store_of(settings) as url:
        parts = await build_background(settings, url, warn)
        try:
            await parts.shards.load_functions()
            return await _explain(parts)
        finally:
            await parts.close()


async def _explain(parts: Background) -> bool:
    standing = await parts.shards.states(ALL_SHARDS)
    written = await parts.ledger.written()
    say(f"ledger: batch {written.head.n}, {written.head.rows} records, {written.head.hash.hex()}")
    waiting = await parts.shards.backlog()
    say(f"streams: {waiting} records are not trimmed yet")
    closed = {shard: at for shard, at in standing.items() if not at.is_open}
    say(f"shards: {len(standing) - len(closed)} open, {len(closed)} closed")
    why = {shard: difference(at, written, shard) for shard, at in closed.items()}
    wrong = {shard: reason for shard, reason in why.items() if reason}
    if len(wrong) < len(closed):
        say(f"  {len(closed) - len(wrong)} stand as in the ledger: they open in a new epoch")
    for shard, reason in list(wrong.items())[:MOST_TOLD]:
        say(f"  shard {shard}: {reason}; it opens in a new epoch, drained or else rebuilt")
    if len(wrong) > MOST_TOLD:
        say(f"  … and {len(wrong) - MOST_TOLD} more")
    faults = await parts.identity.faults()
    if (await parts.shards.booked()).stopped_by:
        faults.append("the ledger's writer has stopped at a gap: nothing more is allowed")
    broken = await Audit(parts.engines[0]).first_fault()
    if broken:
        faults.append(broken)
    for fault in faults:
        say(f"wrong: {fault}")
    return not closed and not faults


async def _rebuild(settings: Settings) -> Report:
    async with store_of(settings) as url:
        parts = await build_background(settings, url, warn)
        console = Console(stderr=True)
        try:
            await parts.shards.check_server(settings.durability)
            await parts.shards.load_functions()
            with console.status("rebuilding") as status:
                parts.recovery.on_progress = lambda what, count: status.update(
                    f"{what} {count:,} entries"
                )
                report = await parts.recovery.rebuild()
                head = (await parts.ledger.written()).head
                await parts.shards.book(head.n, head.hash)
                await parts.shards.stop("")
                return report
        finally:
            await parts.close()
