"""How far a backtest looks back for windows that nobody counted: as far as they reach."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from gateway.catalog.labels import Labels
from gateway.catalog.policy_log import RuleSets
from gateway.flows.analysis.backtest import Span, backtest
from gateway.flows.analysis.services import AnalysisServices
from gateway.ledger.history import History
from gateway.ledger.sqlite import SqliteLedger
from gateway.ledger.writer import Writer
from gateway.sql.engine import Engine, open_engine
from gateway.sql.migrate import migrate
from gateway.store.memory import MemoryStore
from loadtests.books import World
from rules.engine import Phased
from rules.ruleset import load
from tests.scenarios.rules.rulebook import rule, rules

DECISIONS, LOOKED_AT, A_SECOND_MS = 400, 100, 1_000


async def ledger_of(directory: Path) -> Engine:
    """A decision a second, each booked by itself: two records, hold and capture."""
    world, url = World(), f"sqlite:///{directory}/ledger.db"
    engine = open_engine(url)
    await migrate(engine, "ledger")
    ledger = SqliteLedger(url.partition(":///")[2])
    writer = Writer(world.store, ledger, History(engine), print)
    await world.give("acme")
    for _ in range(DECISIONS):
        world.now_ms += A_SECOND_MS
        await world.spend("acme")
        await writer.drain()
    await ledger.close()
    return engine


@pytest.mark.parametrize(
    ("window", "most_back", "is_cut", "hits"),
    [
        # Of the fifty newest decisions all see ten before them, or hundreds.
        ("10s", 100, False, 50),
        ("10s", 10, True, 50),
        ("300s", 100, True, 50),
        ("300s", 0, False, 50),
    ],
)
async def test_it_is_cut_short_only_where_a_window_reaches_further(
    engine: Engine, tmp_path: Path, window: str, most_back: int, is_cut: bool, hits: int
) -> None:
    ledger = await ledger_of(tmp_path)
    parts = SimpleNamespace(
        history=History(ledger),
        labels=Labels(engine),
        rulesets=RuleSets(engine),
        store=MemoryStore(lambda: 0),
        secret=b"secret",
    )
    phased = Phased(load(rules(rule("often", "block", f'velocity.count("key", {window}) >= 5'))))
    span = Span(0, 2**60, LOOKED_AT, most_back=most_back)
    found = await backtest(cast(AnalysisServices, parts), phased, span)
    assert (found.requests, found.is_cut) == (LOOKED_AT // 2, is_cut)
    assert found.rules["often"].requests <= hits
    if not is_cut:
        assert found.rules["often"].requests == hits
    await ledger.dispose()
