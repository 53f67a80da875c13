"""`spendgate serve`: one parent owns the embedded store, the background process and the workers."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import data_dir as data_dirs
from gateway.cli.options import DataDir
from gateway.cli.port import Port
from gateway.cli.process import say, warn
from gateway.cli.supervisor import Child
from gateway.errors import OperatorError
from gateway.settings import Settings, from_environment
from gateway.store.embedded import EmbeddedStore

APPENDFSYNC = {"memory": "", "fsync": "always", "ledger": "everysec"}
"""The store's fsync policy by durability; with `ledger` the ledger is what counts."""


def serve(
    host: Annotated[str | None, typer.Option(help="address to listen on")] = None,
    port: Annotated[int | None, typer.Option(help="port to listen on; 0: a free one")] = None,
    workers: Annotated[int | None, typer.Option(help="worker processes")] = None,
    data_dir: DataDir = None,
    store_url: Annotated[str | None, typer.Option(help="a store; empty: embedded")] = None,
    ledger_url: Annotated[str | None, typer.Option(help="a ledger; empty: in data-dir")] = None,
    takeover: Annotated[
        bool, typer.Option(help="take the port over from a gateway of the same deployment")
    ] = False,
) -> None:
    """Serve the gateway until SIGTERM or Ctrl-C."""
    settings = from_environment(
        host=host,
        port=port,
        workers=workers,
        data_dir=data_dir,
        store_url=store_url,
        ledger_url=ledger_url,
    )
    if not settings.admin_key:
        warn("SPENDGATE_ADMIN_KEY is not set: only credentials made before can call")
    asyncio.run(run(settings, say, takeover=takeover))


async def run(
    settings: Settings, on_ready: Callable[[str], None], *, takeover: bool = False
) -> None:
    """Serve until a signal. Calls `on_ready` with the address once all workers answer."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    deployment = Deployment(settings, takeover=takeover)
    starting = asyncio.create_task(deployment.start())
    waiting = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            on_ready(f"spendgate is listening on {deployment.address}")
            await waiting
    finally:
        starting.cancel()
        waiting.cancel()
        await asyncio.gather(starting, waiting, return_exceptions=True)
        await deployment.stop()


class Deployment:
    """All processes of one `spendgate serve`."""

    def __init__(self, settings: Settings, *, takeover: bool = False) -> None:
        self._settings = settings
        self._takeover = takeover
        self._embedded: EmbeddedStore | None = None
        self._background: Child | None = None
        self._workers: list[Child] = []
        self._port = Port(settings.host, settings.port)

    @property
    def address(self) -> str:
        """Where it is reached."""
        return self._port.address

    async def start(self) -> None:
        """Start everything; returns when every worker is ready. Raises OperatorError."""
        directory = self._settings.directory
        if self._takeover and not self._settings.store_url:
            detail = "an embedded store ends with its parent: takeover needs SPENDGATE_STORE_URL"
            raise OperatorError("cannot_take_over", detail)
        data_dirs.prepare(directory)
        self._port.take(takeover=self._takeover)
        url = self._settings.store_url
        if not url:
            self._embedded = self._make_store(directory / "valkey")
            await self._embedded.start()
            url = self._embedded.url
        _fresh_metrics(self._settings.metrics)
        told = replace(self._settings, port=self._port.number, store_url=url)
        self._background = Child("background", "the background process", told, warn)
        await self._background.start()
        deployment = (directory / "deployment").read_text("ascii").strip()
        self._port.check_former(deployment)
        for index in range(self._settings.workers):
            self._workers.append(Child("worker", f"worker {index}", told, warn))
        await asyncio.gather(*(worker.start() for worker in self._workers))
        await self._port.succeed(deployment)

    def _make_store(self, directory: Path) -> EmbeddedStore:
        durability = self._settings.durability
        if durability == "replica":
            raise OperatorError(
                "no_replica", "durability replica needs a store with a replica: set a store url"
            )
        memory = self._settings.store_memory_mb
        return EmbeddedStore(directory, warn, APPENDFSYNC[durability], memory)

    async def stop(self) -> None:
        """Drain workers, write what is left to the ledger, stop the store."""
        for child in self._workers:
            child.end()
        await asyncio.gather(*(worker.wait() for worker in self._workers))
        if self._background is not None:
            self._background.end()
            await self._background.wait()
        if self._embedded is not None:
            await self._embedded.stop()
        self._port.let_go()


def _fresh_metrics(directory: Path) -> None:
    """An empty directory for counts; without one the gateway serves all the same."""
    try:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(exist_ok=True)
    except OSError as error:
        warn(f"no metrics: {directory} cannot be written ({error.strerror})")
