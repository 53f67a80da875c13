"""A worker: it answers requests, sweeps for what is due, and remembers what it acknowledged."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from gateway.catalog.audit import Audit
from gateway.catalog.backtests import Backtests
from gateway.catalog.catalog import Catalog
from gateway.catalog.credentials import Credentials
from gateway.catalog.labels import Labels
from gateway.catalog.listing import Listing
from gateway.catalog.lists import Lists
from gateway.catalog.models import Models
from gateway.catalog.policy_log import RuleSets
from gateway.catalog.rule_matches import Matches
from gateway.errors import SpendgateError
from gateway.flows.risk.compile_process import THREADS_GIVE_WAY_S
from gateway.flows.risk.policies import RULES_EVERY_S, Rules
from gateway.flows.shared.profiles import Profiles
from gateway.flows.shared.store_clock import StoreClock
from gateway.flows.spend import stand_in_settlement
from gateway.flows.spend.journal import Journal
from gateway.flows.spend.stand_in_state import StandIn
from gateway.http.app import App
from gateway.http.listening import listening_socket, raise_file_limit
from gateway.http.server import Serving, serve
from gateway.http.services import Services
from gateway.ledger.history import History
from gateway.ledger.reader import Ledger
from gateway.observe.metrics import CountingHooks
from gateway.settings import Settings
from gateway.sql.engine import Engine, open_engine
from gateway.store import keys
from gateway.store.acknowledge import Booked, Replicated
from gateway.store.redis import Confirm, RedisStore
from gateway.store.shards import Shards
from gateway.wiring import pseudonym_key
from gateway.wiring.parts import (
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

CREDENTIALS_EVERY_S = 0.5
CLOSED_LOOK_S = 0.3
BACKLOG_LOOK_S = 0.5
SETTLE_LOOK_S = 0.25
SWEEP_LIMIT = 200


@dataclass
class Worker:
    """One worker's parts, joined."""

    services: Services
    engines: tuple[Engine, ...]
    chores: Tasks

    async def close(self) -> None:
        """Let go of everything."""
        await cancel_tasks((*self.chores, *self.services.tasks))
        self.services.outage.journal.close()
        await self.services.store.close()
        await dispose(self.engines)


async def build_worker(
    settings: Settings, hooks: CountingHooks, on_event: Callable[[str], None]
) -> Worker:
    """A worker that can answer: parts built, credentials read."""
    catalog_engine = open_engine(settings.sql_url("catalog"))
    ledger_engine = open_engine(settings.sql_url("ledger"))
    catalog, ledger = Catalog(catalog_engine), Ledger(ledger_engine)
    secret = await pseudonym_key.load(settings, catalog)
    credentials = Credentials(catalog_engine, settings.admin_key)
    await credentials.refresh()
    functions = build_functions(settings, settings.store_url)
    store, shards = build_store(settings, functions), Shards(functions)
    store.confirm = _confirm(settings, store, ledger)
    profiles = Profiles(catalog, store, settings.profile_cache)
    rulesets = RuleSets(catalog_engine)
    clock = StoreClock()
    models = Models(catalog_engine)
    rules = Rules(rulesets, models, secret, on_event, clock.now_ms, settings.unscored)
    await rules.refresh()
    opened = Journal(settings.directory / "opened")
    services = Services(
        settings=settings,
        store=store,
        catalog=catalog,
        credentials=credentials,
        audit=Audit(catalog_engine),
        listing=Listing(catalog_engine),
        ledger=ledger,
        history=History(ledger_engine),
        profiles=profiles,
        clock=clock,
        hooks=hooks,
        secret=secret,
        outage=StandIn(opened, settings.open_shares or settings.workers),
        rulesets=rulesets,
        rules=rules,
        labels=Labels(catalog_engine),
        matches=Matches(catalog_engine),
        lists=Lists(catalog_engine),
        backtests=Backtests(catalog_engine),
        models=models,
    )

    def count_unsettled() -> None:
        hooks.set_unsettled(services.outage.unsettled)

    chores = start(
        _refresh(credentials.refresh, CREDENTIALS_EVERY_S),
        _refresh(rules.refresh, RULES_EVERY_S),
        accessory("metrics", lambda: write_counts(hooks, count_unsettled)),
        _sweep(store, settings.sweep_ms / 1000),
        _offer_records(store, shards, ledger),
        _watch_backlog(services, shards),
        _settle(services, on_event),
    )
    return Worker(services, (catalog_engine, ledger_engine), chores)


async def serve_worker(
    settings: Settings, name: str, on_event: Callable[[str], None]
) -> tuple[Worker, Serving]:
    """Start a worker that serves. `name` separates its counts from those of other workers."""
    raise_file_limit()
    sys.setswitchinterval(THREADS_GIVE_WAY_S)
    hooks = counting_hooks(settings, name)
    worker = await build_worker(settings, hooks, on_event)
    sock = listening_socket(settings.host, settings.port)
    serving = await serve(App(worker.services), sock, settings)
    return worker, serving


def _confirm(settings: Settings, store: RedisStore, ledger: Ledger) -> Confirm | None:
    if settings.durability == "replica":
        functions = build_functions(settings, settings.store_url)
        return Replicated(functions, store, settings.decision_deadline_ms / 1000)
    if settings.durability == "ledger":
        return Booked(ledger.cursors, store, settings.store_deadline_ms / 1000)
    return None


async def _refresh(refresh: Callable[[], Awaitable[None]], pause_s: float) -> None:
    while True:
        await asyncio.sleep(pause_s)
        try:
            await refresh()
        except Exception:  # noqa: S112  an old view serves until the catalog answers again
            continue


async def _sweep(store: RedisStore, pause_s: float) -> None:
    while True:
        try:
            if await store.expire(range(keys.SHARDS), SWEEP_LIMIT) < SWEEP_LIMIT:
                await asyncio.sleep(pause_s)
        except SpendgateError:
            await asyncio.sleep(0.5)


async def _watch_backlog(services: Services, shards: Shards) -> None:
    while True:
        # A store that does not answer takes no records either.
        with suppress(SpendgateError):
            services.health.backlog = await shards.backlog()
            services.health.stopped_by = (await shards.booked()).stopped_by
            used, most = await shards.memory()
            services.health.memory = used / most if most else 0.0
        await asyncio.sleep(BACKLOG_LOOK_S)


async def _settle(services: Services, on_event: Callable[[str], None]) -> None:
    """Reverse and charge what an outage left."""
    while True:
        await asyncio.sleep(SETTLE_LOOK_S)
        with suppress(SpendgateError):
            await stand_in_settlement.settle(services, on_event)


async def _offer_records(store: RedisStore, shards: Shards, ledger: Ledger) -> None:
    """Offer acknowledged records that the ledger lacks to the process that opens closed shards."""
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSED_LOOK_S):
                await store.met_closed.wait()
        store.met_closed.clear()
        try:
            if not (await shards.states([0]))[0].is_open:
                await shards.offer(store.recent.after(await ledger.cursors()))
                await asyncio.sleep(CLOSED_LOOK_S)
        except SpendgateError:
            await asyncio.sleep(0.1)
