"""What must be true after any trouble: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp

from gateway.cli.process import say
from gateway.core import ids
from gateway.ledger.history import History
from gateway.ledger.verify import verify
from gateway.sql.engine import open_engine
from tests.chaos.history import check
from tests.chaos.world import Heard
from tests.gateways import Caller, Gateway


async def reconciled_in_time(caller: Caller, within_s: float = 30) -> Any:
    """Wait until everything answers again, then reconcile."""
    until = asyncio.get_running_loop().time() + within_s
    while True:
        try:
            status, report, _ = await caller.send("GET", "/v1/ledger/reconcile")
        except aiohttp.ClientConnectionError as error:
            status, report = 0, error
        if status == 200:
            assert report["ok"], report
            return report
        assert asyncio.get_running_loop().time() < until, (status, report)
        await asyncio.sleep(0.2)


def lost_and_doubled(directory: Path, heard: Heard) -> tuple[set[str], set[str]]:
    """Acknowledged decisions and ends that the ledger does not have, or has more than once."""
    with closing(sqlite3.connect(f"file:{directory / 'ledger.db'}?mode=ro", uri=True)) as c:
        rows = c.execute(
            "SELECT id, kind, reason, count(*) FROM records GROUP BY 1, 2, 3"
        ).fetchall()
    decided = {row[0]: row[3] for row in rows if row[1] in ("authorize", "extend")}
    ended: dict[str, dict[str, int]] = {}
    for name, kind, reason, count in rows:
        if kind == "finish":
            ended.setdefault(name, {})[reason] = count
    lost = {name for name in heard.decisions if name not in decided}
    doubled = {name for name, count in decided.items() if count > 1}
    for hold, answer in heard.ends.items():
        if answer["status"] not in ended.get(hold, {}):
            lost.add(hold)
    for hold, ways in ended.items():
        # Once; a late capture follows an expiry.
        if any(count > 1 for count in ways.values()) or len(ways.keys() - {"expired"}) > 1:
            doubled.add(hold)
    return lost, doubled


async def audit(gateway: Gateway, heard: Heard, faults: dict[str, int]) -> None:
    """Check a stopped deployment's ledger, and print the figures."""
    lost, doubled = lost_and_doubled(gateway.directory, heard)
    engine = open_engine(f"sqlite:///{gateway.directory / 'ledger.db'}")
    verdict = await verify(History(engine), lambda rows: None)
    await engine.dispose()
    checked, holes = await check(gateway.directory, heard)
    acknowledged = len(heard.decisions) + len(heard.ends)
    say(
        f"acknowledged {acknowledged}, {heard.refused} refused, unavailable {heard.unavailable},"
        f" broken off {heard.broken};"
        f" faults {faults}; lost {len(lost)}, doubled {len(doubled)}; {verdict.rows} rows verified,"
        f" {checked} answers replayed, {holes} holes"
    )
    assert lost == set(), sorted(lost)[:5]
    assert doubled == set(), sorted(doubled)[:5]
    assert verdict.fault == ""
    assert all(ids.shard_in(name) is not None for name in heard.decisions)
