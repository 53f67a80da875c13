"""How fast a rule set is tried on the past: from what records tell, and on what nobody counted."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from gateway.catalog.labels import Labels
from gateway.catalog.policy_log import RuleSets
from gateway.flows.analysis.backtest import Span, backtest
from gateway.flows.analysis.services import AnalysisServices
from gateway.ledger.history import History
from gateway.sql.engine import open_engine
from gateway.sql.migrate import migrate
from gateway.store.memory import MemoryStore
from loadtests.books import World, writing
from rules.engine import Phased
from rules.ruleset import load

ORGS, DECISIONS, RULES = 200, 40_000, 10
ALL = Span(0, 2**60, DECISIONS * 3)
COUNTED, NEW = 'velocity.cost("key", 1h)', 'velocity.cost("key", 20m)'


def _rules(reads: str) -> Phased:
    lines = ["rules:"]
    for n in range(RULES):
        when = f"{reads} + amount > {1_000 + n} USD && context.asn != {n}"
        lines.append(f"  - {{id: r{n}, action: block, when: '{when}', reason: bench}}")
    return Phased(load("\n".join(lines)))


async def _fill(directory: Path) -> None:
    world = World()
    for n in range(ORGS):
        await world.give(f"org-{n}")
    for n in range(DECISIONS):
        world.now_ms += n % 2
        await world.spend(f"org-{n % ORGS}")
    await writing(world, f"sqlite:///{directory}/ledger.db")


async def _prepare(directory: Path) -> Any:
    await _fill(directory)
    # A gateway does not hold the world that the records were made in.
    gc.collect()
    ledger = open_engine(f"sqlite:///{directory}/ledger.db")
    catalog = open_engine(f"sqlite:///{directory}/catalog.db")
    await migrate(catalog, "catalog")
    return SimpleNamespace(
        history=History(ledger),
        labels=Labels(catalog),
        rulesets=RuleSets(catalog),
        store=MemoryStore(lambda: 0),
        secret=b"bench",
    )


async def measure(directory: Path) -> tuple[float, float]:
    """Decisions a second: windows that records tell, and one that is counted anew."""
    # Of a gateway a backtest uses no more than this.
    parts, found = cast(AnalysisServices, await _prepare(directory)), []
    for reads in (COUNTED, NEW):
        rates = []
        for _ in range(3):
            started = time.process_time()
            result = await backtest(parts, _rules(reads), ALL)
            assert result.requests == DECISIONS
            rates.append(DECISIONS / (time.process_time() - started))
        found.append(sorted(rates)[1])
    return found[0], found[1]


def main() -> None:
    """Print both."""
    with tempfile.TemporaryDirectory() as directory:
        counted, anew = asyncio.run(measure(Path(directory)))
    print(f"backtest           {counted:,.0f} decisions/s of one core, from what records tell")
    print(f"                   {anew:,.0f} decisions/s on a window that nobody counted")


if __name__ == "__main__":
    main()
