"""V2: the ledger's writer is killed between each pair of its steps: every record is booked once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.cli.process import say
from gateway.ledger.history import History
from gateway.ledger.reader import Ledger
from gateway.ledger.verify import verify
from gateway.ledger.writer import Writer
from gateway.sql.engine import open_engine
from gateway.sql.migrate import migrate
from gateway.store import keys
from gateway.store.functions import Functions
from gateway.store.library import build
from gateway.store.pipeline import Pipeline, parse_url
from gateway.store.redis import RedisStore
from gateway.store.shards import Shards
from gateway.wiring.background import build_ledger
from loadtests.books import World
from tests.chaos.kills import IS_LONG
from tests.databases import Postgres

ORGS = ("acme", "globex")
SPENT_MICROS = 3_000
"""What the world's hold and capture cost."""
STRIDE = 1 if IS_LONG else 9


class Feed:
    """Records of a world in memory, put into a real store's streams."""

    def __init__(self, url: str) -> None:
        self.pipeline = Pipeline(parse_url(url), deadline_s=10)
        self.functions = Functions(self.pipeline, build())
        self.store = RedisStore(self.functions)
        self.fed: dict[int, tuple[int, int]] = {}
        self.count = self.booked = self.spent_micros = 0
        self._world = World()

    async def more(self) -> None:
        """A grant first, then a hold and its capture, for each org."""
        for org in ORGS:
            if self.count == 0:
                await self._world.give(org)
            await self._world.spend(org)
            self.spent_micros += SPENT_MICROS
        for line in await self._world.store.records(self.fed, 100):
            fields = {"k": line.kind, "o": line.out, "t": line.terms, "b": line.body}
            flat = [part for pair in {**fields, "i": line.kept}.items() for part in pair]
            await self.pipeline.call("XADD", keys.stream(line.shard), f"1-{line.seq}", *flat)
            self.fed[line.shard] = (1, line.seq)
            self.count += 1


@contextmanager
def dying(store_url: str, ledger_url: str) -> Iterator[Callable[[int], int]]:
    """Run a writer that dies before its n-th step; its exit status."""
    command = [sys.executable, "-m", "tests.chaos.dying", store_url, ledger_url]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None

        def die(n: int) -> int:
            process.stdin.write(f"{n}\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield die


async def drained(url: str, feed: Feed, history: History) -> int:
    """Let another writer go on where the dead one stopped; how many records there are then."""
    ledger = build_ledger(url)
    rows = (await ledger.written()).head.rows
    assert rows in (feed.booked, feed.count), "a batch is written whole or not at all"
    events: list[str] = []
    await Writer(feed.store, ledger, history, events.append).drain()
    feed.booked = (await ledger.written()).head.rows
    await ledger.close()
    assert (feed.booked, events) == (feed.count, [])
    assert await Shards(feed.functions).backlog() == 0, "what is written is trimmed"
    return rows


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_a_writer_killed_before_any_of_its_steps_loses_and_doubles_nothing(
    tmp_path: Path, valkey_url: str, postgres: Postgres, database: str
) -> None:
    is_sqlite = database == "sqlite"
    url = f"sqlite:///{tmp_path / 'ledger.db'}" if is_sqlite else postgres.database()
    engine, feed, kills, behind_commit = open_engine(url), Feed(valkey_url), 0, 0
    history = History(engine)
    await migrate(engine, "ledger")
    await feed.pipeline.call("FLUSHALL")
    with dying(valkey_url, url) as die:
        while True:
            await feed.more()
            step = 1 + STRIDE * kills
            if die(step) == 0:
                break
            kills += 1
            behind_commit += await drained(url, feed, history) == feed.count
    await drained(url, feed, history)
    verdict = await verify(history, lambda rows: None)
    assert (verdict.fault, verdict.rows) == ("", feed.count)
    totals = {t.kind: t.credits for t in await Ledger(engine).trial_balance()}
    assert totals["revenue"] == feed.spent_micros
    await engine.dispose()
    # Kills on both sides of the commit, or nothing was shown.
    assert 0 < behind_commit < kills
    say(
        f"{database}: killed before {kills} of {step} steps, {behind_commit} times behind the"
        f" commit; {feed.count} records, each booked once"
    )
    await feed.store.close()
