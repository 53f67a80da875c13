"""`spendgate serve`: one parent owns the embedded store, the backstage process and the workers."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.children import Child
from gateway.cli.running import say, warn
from gateway.errors import OperatorError
from gateway.http.listening import listening_socket
from gateway.settings import Settings, environment_name, from_environment
from gateway.store.embedded import EmbeddedStore

APPENDFSYNC = {"memory": "", "fsync": "always", "ledger": "everysec"}
"""What the embedded store does before it answers; with `ledger` the ledger is what counts."""


def serve(
    host: Annotated[str | None, typer.Option(help="address to listen on")] = None,
    port: Annotated[int | None, typer.Option(help="port to listen on; 0: a free one")] = None,
    workers: Annotated[int | None, typer.Option(help="worker processes")] = None,
    data_dir: Annotated[str | None, typer.Option(help="where files are kept")] = None,
    store_url: Annotated[str | None, typer.Option(help="a store; empty: embedded")] = None,
    ledger_url: Annotated[str | None, typer.Option(help="a ledger; empty: in data-dir")] = None,
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
    asyncio.run(run(settings, say))


async def run(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve until a signal. `on_ready` hears the address once everything answers."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    deployment = Deployment(settings)
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

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._embedded: EmbeddedStore | None = None
        self._backstage: Child | None = None
        self._workers: list[Child] = []
        self._reserved: socket.socket | None = None
        self.address = ""

    async def start(self) -> None:
        """Start everything; returns when every worker is ready. Raises OperatorError."""
        directory = self._settings.directory
        directory.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._settings.metrics, ignore_errors=True)
        self._settings.metrics.mkdir()
        port = self._reserve_port()
        url = self._settings.store_url
        if not url:
            self._embedded = self._make_store(directory / "valkey")
            await self._embedded.start()
            url = self._embedded.url
        told = asdict(replace(self._settings, port=port, store_url=url))
        environment = {**os.environ, **{environment_name(n): str(v) for n, v in told.items()}}
        self._backstage = Child("backstage", "the backstage process", environment, warn)
        await self._backstage.start()
        for index in range(self._settings.workers):
            self._workers.append(Child("worker", f"worker {index}", environment, warn))
        await asyncio.gather(*(worker.start() for worker in self._workers))

    def _make_store(self, directory: Path) -> EmbeddedStore:
        durability = self._settings.durability
        if durability == "replica":
            raise OperatorError(
                "no_replica", "durability replica needs a store with a replica: set a store url"
            )
        return EmbeddedStore(directory, warn, APPENDFSYNC[durability])

    def _reserve_port(self) -> int:
        settings = self._settings
        # Bound but not listening: it keeps the port for workers that come and go.
        try:
            self._reserved = listening_socket(settings.host, settings.port)
        except OSError as error:
            raise OperatorError(
                "cannot_listen", f"cannot listen on {settings.host}:{settings.port}: {error}"
            ) from error
        port = int(self._reserved.getsockname()[1])
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.address = f"http://{host}:{port}"
        return port

    async def stop(self) -> None:
        """Drain workers, write what is left to the ledger, stop the store."""
        for child in self._workers:
            child.end()
        await asyncio.gather(*(worker.wait() for worker in self._workers))
        if self._backstage is not None:
            self._backstage.end()
            await self._backstage.wait()
        if self._embedded is not None:
            await self._embedded.stop()
