"""Background: one process that opens shards and writes the ledger for all workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from gateway.catalog.backtests import Backtests
from gateway.catalog.catalog import Catalog, VersionConflict
from gateway.catalog.labels import Labels
from gateway.catalog.lists import Lists
from gateway.catalog.models import Models
from gateway.catalog.policy_log import RuleSets
from gateway.catalog.rule_matches import Matches
from gateway.core.entities import Included, PricePlan, RateLimit
from gateway.core.windows import DAY_MS
from gateway.errors import SpendgateError
from gateway.flows.operations.drift_monitor import Drift
from gateway.flows.operations.rebuild_source import ResultRetention
from gateway.flows.operations.reconcile import Reconciler, Watch
from gateway.flows.operations.rule_match_projection import Gatherer
from gateway.flows.operations.shard_recovery import Recovery
from gateway.flows.operations.velocity_backfill import Warmer
from gateway.flows.risk.list_sync import follow
from gateway.flows.risk.policies import Rules
from gateway.flows.shared.profiles import FREE_PLAN, Profiles
from gateway.ledger.days import date_of
from gateway.ledger.deployment import DeploymentOf
from gateway.ledger.history import History
from gateway.ledger.port import LedgerWriter
from gateway.ledger.postgres import PostgresLedger
from gateway.ledger.pruning import Pruner
from gateway.ledger.reader import Ledger
from gateway.ledger.sqlite import SqliteLedger
from gateway.ledger.writer import Retention, Writer
from gateway.observe.metrics import CountingHooks
from gateway.settings import Settings
from gateway.sql.engine import Engine, open_engine
from gateway.sql.migrate import migrate
from gateway.store.redis import RedisStore
from gateway.store.shards import Shards
from gateway.wiring import pseudonym_key
from gateway.wiring.identity import Identity
from gateway.wiring.parts import (
    Lease,
    Tasks,
    accessory,
    build_functions,
    build_store,
    cancel_tasks,
    counting_hooks,
    dispose,
    start,
    write_counts,
)
from gateway.wiring.store_watch import StoreWatch

SHIPPED_PLANS = (
    PricePlan(
        FREE_PLAN,
        "default",
        included=(Included("daily", 100_000, "day"),),
        rate_limits=(
            RateLimit("per-minute", "org", "requests", 20, 60, from_plan=True),
            RateLimit("at-once", "org", "concurrent", 2, from_plan=True),
        ),
    ),
    PricePlan("payg", "default"),
)
STORE_PATIENCE_S = 30
BOOKED_MS = 5
"""The writer's pause where every caller waits for it."""
PRUNE_EVERY_S = 3600
WRITER, WRITER_LEASE_MS = "writer", 3_000
"""One gateway's writer is at the ledger at a time; another one takes over when it is gone.

In 3 s a living writer prolongs its lease many times, and few records wait for the next one. Two
writers do no harm: the ledger refuses the batch that does not follow its head.
"""
FOLLOW_EVERY_S = 1.0
BACKTESTS_KEPT_DAYS = 30
PROFILES = 50
"""Profiles it keeps: each is read anew for its comparison."""


@dataclass
class Background:
    """The parts of the process, joined."""

    store: RedisStore
    shards: Shards
    ledger: LedgerWriter
    writer: Writer
    recovery: Recovery
    watch: Watch
    pruner: Pruner
    gatherer: Gatherer
    drift: Drift
    warmer: Warmer
    matches: Matches
    lists: Lists
    backtests: Backtests
    identity: Identity
    on_event: Callable[[str], None]
    engines: tuple[Engine, ...]
    writing: asyncio.Future[None] | None = None
    chores: Tasks = ()

    def start(self, settings: Settings) -> None:
        """Start writing, and opening shards that are found closed."""
        hooks = counting_hooks(settings, "background")
        watch = StoreWatch(self.shards, self.store, hooks, self.on_event)
        (self.writing,) = start(self.writer.run())
        self.chores = start(
            self.recovery.watch(),
            accessory("the comparison of books", self.watch.run),
            accessory("the counting of matches", self.gatherer.run),
            accessory("the watch over drift", self.drift.run),
            accessory("warming windows", self.warmer.run),
            accessory("following lists", self._follow),
            accessory("the watch over the store", watch.run),
            accessory("pruning", lambda: self._prune(settings)),
            accessory("metrics", lambda: write_counts(hooks, lambda: self._count(hooks))),
        )

    async def _prune(self, settings: Settings) -> None:
        export_to = Path(settings.export_dir) if settings.export_dir else None
        while True:
            with suppress(SpendgateError):
                now_ms = await self.store.ping()
                await self.lists.prune(now_ms - DAY_MS)
                await self.backtests.prune(now_ms - BACKTESTS_KEPT_DAYS * DAY_MS)
                if settings.keep_records_days:
                    before = now_ms // DAY_MS - settings.keep_records_days
                    pruned = await self.pruner.prune(before, export_to, now_ms)
                    for day, rows in pruned.items():
                        self.on_event(f"pruned {rows} records of {date_of(day)}")
                    await self.matches.forget(before)
            await asyncio.sleep(PRUNE_EVERY_S)

    async def _follow(self) -> None:
        """Make up for a worker that put something on a list and died before the store knew."""
        while True:
            with suppress(SpendgateError):
                await follow(self.lists, self.store)
            await asyncio.sleep(FOLLOW_EVERY_S)

    def _count(self, hooks: CountingHooks) -> None:
        hooks.set_ledger(self.writer.written, self.writer.stopped_by is not None)
        hooks.set_drift(self.drift.score, self.drift.feature)
        hooks.set_reconcile(self.watch.orgs, self.watch.differences)

    async def stop(self) -> None:
        """Stop, with every record that is in the store written."""
        self.writer.end()
        await cancel_tasks(self.chores)
        if self.writing is not None:
            await asyncio.gather(self.writing, return_exceptions=True)
        await self.writer.drain()
        await self.close()

    async def close(self) -> None:
        """Let go of everything."""
        await self.ledger.close()
        await self.store.close()
        await dispose(self.engines)


def build_ledger(url: str) -> LedgerWriter:
    """The writing side of a ledger at a URL; nothing is connected yet."""
    if url.startswith("sqlite"):
        return SqliteLedger(url.partition(":///")[2])
    return PostgresLedger(url)


async def build_background(
    settings: Settings, store_url: str, on_event: Callable[[str], None]
) -> Background:
    """The parts, with catalog and ledger at their newest schema. Raises OperatorError."""
    catalog_engine = open_engine(settings.sql_url("catalog"))
    ledger_engine = open_engine(settings.sql_url("ledger"))
    await migrate(catalog_engine, "catalog")
    await migrate(ledger_engine, "ledger")
    catalog, history = Catalog(catalog_engine), History(ledger_engine)
    ledger = build_ledger(settings.sql_url("ledger"))
    functions = build_functions(settings, store_url, STORE_PATIENCE_S)
    store, shards = build_store(settings, functions), Shards(functions)
    pause_ms = BOOKED_MS if settings.durability == "ledger" else settings.writer_ms
    writer = Writer(
        store,
        ledger,
        history,
        on_event,
        pause_s=pause_ms / 1000,
        retention=Retention(1000 * settings.late_capture_s),
        marks=shards,
        is_mine=Lease(store, WRITER, WRITER_LEASE_MS).is_ours,
    )
    kept = ResultRetention(1000 * settings.authorize_kept_s, 1000 * settings.admin_kept_s)
    lists = Lists(catalog_engine)
    recovery = Recovery(shards, store, catalog, lists, history, (ledger, writer), kept, on_event)
    profiles = Profiles(catalog, store, PROFILES)
    reconciler = Reconciler(store, catalog, Ledger(ledger_engine), profiles)
    watch = Watch(reconciler, 1 / settings.reconcile_orgs_per_s, on_event)
    engines = (catalog_engine, ledger_engine)
    pruner = Pruner(ledger_engine)
    matches = Matches(catalog_engine)
    rulesets = RuleSets(catalog_engine)
    models = Models(catalog_engine)
    gatherer = Gatherer(history, rulesets, models, matches, on_event)
    rules = Rules(rulesets, models, b"", on_event)
    drift = Drift(history, rulesets, Labels(catalog_engine), lists, rules, on_event)
    warmer = Warmer(history, Ledger(ledger_engine), rulesets, store, on_event)
    parts = (
        store,
        shards,
        ledger,
        writer,
        recovery,
        watch,
        pruner,
        gatherer,
        drift,
        warmer,
        matches,
        lists,
        Backtests(catalog_engine),
        Identity(settings, shards, catalog, DeploymentOf(ledger_engine)),
    )
    return Background(*parts, on_event, engines)


async def prepare(
    settings: Settings, store_url: str, on_event: Callable[[str], None]
) -> Background:
    """Bring store, catalog and ledger to where workers can start. Raises OperatorError."""
    background = await build_background(settings, store_url, on_event)
    await background.shards.check_server(settings.durability)
    await background.shards.load_functions()
    catalog = Catalog(background.engines[0])
    await pseudonym_key.settle(settings, catalog)
    await background.identity.settle()
    await background.identity.check_books(background.ledger, background.store)
    await background.shards.stop("")
    for plan in SHIPPED_PLANS:
        await _ship(catalog, plan)
    await background.recovery.open_closed()
    return background


async def _ship(catalog: Catalog, plan: PricePlan) -> None:
    if await catalog.plan(plan.id) is None:
        try:
            await catalog.put_plan(replace(plan, version=1), 0)
        except VersionConflict:
            return
