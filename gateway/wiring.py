"""The only place where concrete things are built and joined."""

from __future__ import annotations

import asyncio
import gc
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from gateway.catalog.catalog import Catalog, VersionConflict
from gateway.catalog.credentials import Credentials
from gateway.core.entities import Included, PricePlan, RateLimit
from gateway.core.orders import Version
from gateway.errors import SpendgateError
from gateway.flows.clock import StoreClock
from gateway.flows.gateway import Gateway
from gateway.flows.profiles import FREE_PLAN, Profiles
from gateway.http.app import App
from gateway.http.server import Serving, listening_socket, raise_file_limit, serve
from gateway.ledger.reader import Ledger
from gateway.ledger.sqlite import SqliteLedger
from gateway.ledger.writer import Writer
from gateway.observe.metrics import CountingHooks
from gateway.settings import Settings
from gateway.sql.engine import Engine, migrate, open_engine
from gateway.store import keys
from gateway.store.library import build
from gateway.store.pipeline import Pipeline, parse_url
from gateway.store.redis import RedisStore

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
GC_THRESHOLDS = (50_000, 20, 100)
CREDENTIALS_EVERY_S = 0.5
METRICS_EVERY_S = 1.0
SWEEP_LIMIT = 200
ORGS_AT_A_TIME = 1000


def collect_seldom() -> None:
    """A request makes a hundred short-lived values and no cycles: collections find little.

    What lives until the end is not looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def build_store(settings: Settings, url: str, deadline_s: float | None = None) -> RedisStore:
    """A store at a URL; nothing is connected yet."""
    wait_s = settings.store_deadline_ms / 1000 if deadline_s is None else deadline_s
    return RedisStore(
        Pipeline(parse_url(url), deadline_s=wait_s),
        build(),
        late_capture_ms=1000 * settings.late_capture_s,
        ended_kept_ms=1000 * settings.ended_hold_kept_s,
    )


@dataclass
class Worker:
    """One worker's parts, joined."""

    gateway: Gateway
    engines: tuple[Engine, ...]
    chores: tuple[asyncio.Task[None], ...]

    async def close(self) -> None:
        """Let go of everything."""
        for chore in self.chores:
            chore.cancel()
        await self.gateway.store.close()
        for engine in self.engines:
            await engine.dispose()


async def build_worker(settings: Settings, hooks: CountingHooks, store_url: str) -> Worker:
    """A worker that can answer: parts built, credentials read."""
    catalog_engine = open_engine(settings.sql_url("catalog"))
    ledger_engine = open_engine(settings.sql_url("ledger"))
    catalog = Catalog(catalog_engine)
    secret = await catalog.meta("secret", secrets.token_hex(32))
    credentials = Credentials(catalog_engine, settings.admin_key, secret)
    await credentials.refresh()
    store = build_store(settings, store_url)
    gateway = Gateway(
        settings,
        store,
        catalog,
        credentials,
        Ledger(ledger_engine),
        Profiles(catalog, store, settings.profile_cache),
        StoreClock(),
        hooks,
        bytes.fromhex(secret),
    )
    chores = (asyncio.create_task(_refresh(credentials)), asyncio.create_task(_count(hooks)))
    return Worker(gateway, (catalog_engine, ledger_engine), chores)


async def _refresh(credentials: Credentials) -> None:
    while True:
        await asyncio.sleep(CREDENTIALS_EVERY_S)
        try:
            await credentials.refresh()
        except Exception:  # noqa: S112  an old view serves until the catalog answers again
            continue


async def _count(hooks: CountingHooks) -> None:
    while True:
        # Not on the loop: replacing a file may wait for the disk.
        await asyncio.to_thread(hooks.write)
        await asyncio.sleep(METRICS_EVERY_S)


def counting_hooks(settings: Settings, name: str) -> CountingHooks:
    """Hooks of the process of that name."""
    return CountingHooks(Path(settings.metrics) / f"{name}.json")


async def serve_worker(settings: Settings, name: str) -> tuple[Worker, Serving]:
    """A worker that serves. `name` tells its counts from those of other workers."""
    raise_file_limit()
    hooks = counting_hooks(settings, name)
    worker = await build_worker(settings, hooks, settings.store_url)
    sock = listening_socket(settings.host, settings.port)
    serving = await serve(App(worker.gateway), sock, settings)
    return worker, serving


@dataclass
class Backstage:
    """What the parent does for all workers: the ledger's writer and the sweep."""

    store: RedisStore
    writer: Writer
    engines: tuple[Engine, ...]
    tasks: tuple[asyncio.Task[None], ...] = ()

    def start(self, settings: Settings, on_event: Callable[[str], None]) -> None:
        """Start writing and sweeping."""
        sweeping = _sweep(self.store, settings.sweep_ms / 1000, on_event)
        watching = _watch(self.writer, counting_hooks(settings, "backstage"))
        running = (self.writer.run(), sweeping, watching)
        self.tasks = tuple(asyncio.create_task(task) for task in running)

    async def stop(self) -> None:
        """Stop, with every record that is in the store written."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.writer.drain()
        await self.store.close()
        for engine in self.engines:
            await engine.dispose()


async def prepare(settings: Settings, store_url: str, on_event: Callable[[str], None]) -> Backstage:
    """Bring store, catalog and ledger to where workers can start. Raises OperatorError."""
    catalog_engine = open_engine(settings.sql_url("catalog"))
    ledger_engine = open_engine(settings.sql_url("ledger"))
    await migrate(catalog_engine, "catalog")
    await migrate(ledger_engine, "ledger")
    catalog, ledger = Catalog(catalog_engine), SqliteLedger(ledger_engine)
    store = build_store(settings, store_url, deadline_s=30)
    await store.check_server()
    await store.load_functions()
    for plan in SHIPPED_PLANS:
        await _ship(catalog, plan)
    await _open_shards(store, catalog, ledger, on_event)
    writer = Writer(store, ledger, settings.writer_ms / 1000, on_event)
    return Backstage(store, writer, (catalog_engine, ledger_engine))


async def _ship(catalog: Catalog, plan: PricePlan) -> None:
    if await catalog.plan(plan.id) is None:
        try:
            await catalog.put_plan(replace(plan, version=1), 0)
        except VersionConflict:
            return


async def _open_shards(
    store: RedisStore, catalog: Catalog, ledger: SqliteLedger, on_event: Callable[[str], None]
) -> None:
    """Open shards that never held anything. One that did and lost it stays closed."""
    written = await ledger.cursors()
    fresh = [shard for shard in range(keys.SHARDS) if shard not in written]
    await _fence_orgs(store, catalog)
    await store.open_shards(fresh)
    closed = await store.closed_shards(list(written))
    if closed:
        on_event(
            f"{len(closed)} shards hold records in the ledger but nothing in the store: they stay"
            " closed, and their orgs are answered store_unavailable, until the store is restored"
        )


async def _fence_orgs(store: RedisStore, catalog: Catalog) -> None:
    # Without its fence an org would be taken for a free user.
    after = ""
    while True:
        page = await catalog.org_versions(after, ORGS_AT_A_TIME)
        await asyncio.gather(
            *(store.fence(Version("org", o, v), (keys.shard_of(o),)) for o, v in page)
        )
        if len(page) < ORGS_AT_A_TIME:
            return
        after = page[-1][0]


async def _sweep(store: RedisStore, pause_s: float, on_event: Callable[[str], None]) -> None:
    while True:
        try:
            if await store.expire(range(keys.SHARDS), SWEEP_LIMIT) < SWEEP_LIMIT:
                await asyncio.sleep(pause_s)
        except SpendgateError as error:
            on_event(f"the sweep waits: {error}")
            await asyncio.sleep(0.5)


async def _watch(writer: Writer, hooks: CountingHooks) -> None:
    while True:
        hooks.set_ledger(writer.written, writer.stopped_by is not None)
        # Not on the loop: replacing a file may wait for the disk.
        await asyncio.to_thread(hooks.write)
        await asyncio.sleep(METRICS_EVERY_S)
