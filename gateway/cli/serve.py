"""`spendgate serve`: one parent owns the embedded store, the ledger's writer, the sweep and the
workers."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Annotated

import typer

from gateway.errors import OperatorError
from gateway.http.server import listening_socket
from gateway.settings import Settings, environment_name, from_environment
from gateway.store.embedded import EmbeddedStore, die_with_parent
from gateway.wiring import Backstage, collect_seldom, prepare

WORKER_START_S = 60
WORKER_STOP_S = 30


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


def say(line: str) -> None:
    """Tell whoever runs it; the line is on its way before the call returns."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def warn(line: str) -> None:
    """Tell of trouble."""
    sys.stderr.write(f"spendgate: {line}\n")
    sys.stderr.flush()


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
        self._backstage: Backstage | None = None
        self._reserved: socket.socket | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._is_stopping = False
        self.address = ""

    async def start(self) -> None:
        """Start everything; returns when every worker is ready. Raises OperatorError."""
        directory = self._settings.directory
        directory.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._settings.metrics, ignore_errors=True)
        self._settings.metrics.mkdir()
        url = self._settings.store_url
        if not url:
            self._embedded = EmbeddedStore(directory / "valkey", warn)
            await self._embedded.start()
            url = self._embedded.url
        self._backstage = await prepare(self._settings, url, warn)
        self._backstage.start(self._settings, warn)
        collect_seldom()
        await self._start_workers(url)

    async def _start_workers(self, store_url: str) -> None:
        settings = self._settings
        # Bound but not listening: it keeps the port for workers that come and go.
        try:
            self._reserved = listening_socket(settings.host, settings.port)
        except OSError as error:
            raise OperatorError(
                "cannot_listen", f"cannot listen on {settings.host}:{settings.port}: {error}"
            ) from error
        port = self._reserved.getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.address = f"http://{host}:{port}"
        told = replace(settings, port=port, store_url=store_url)
        environment = {
            **os.environ,
            **{environment_name(n): str(v) for n, v in asdict(told).items()},
        }
        ready = [asyncio.get_running_loop().create_future() for _ in range(settings.workers)]
        for index, future in enumerate(ready):
            self._workers.append(asyncio.create_task(self._keep_worker(index, environment, future)))
        await asyncio.gather(*ready)

    async def _keep_worker(
        self, index: int, environment: dict[str, str], ready: asyncio.Future[None]
    ) -> None:
        """Start a worker, and again whenever it ends."""
        while not self._is_stopping:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gateway.cli",
                "worker",
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                preexec_fn=die_with_parent,
                # A terminal's Ctrl-C goes to the parent alone, which stops its children in order.
                start_new_session=True,
            )
            self._processes[index] = process
            assert process.stdout is not None
            try:
                line = await asyncio.wait_for(process.stdout.readline(), WORKER_START_S)
            except TimeoutError:
                line = b""
            if line == b"ready\n" and not ready.done():
                ready.set_result(None)
            code = await process.wait()
            if self._is_stopping:
                return
            if not ready.done():
                ready.set_exception(
                    OperatorError("worker_start", f"a worker ended with {code} while starting")
                )
                return
            warn(f"worker {index} ended with {code}; starting it again")
            await asyncio.sleep(0.2)

    async def stop(self) -> None:
        """Drain workers, write what is left to the ledger, stop the store."""
        self._is_stopping = True
        running = [p for p in self._processes.values() if p.returncode is None]
        for process in running:
            process.terminate()
        for process in running:
            try:
                await asyncio.wait_for(process.wait(), WORKER_STOP_S)
            except TimeoutError:
                process.kill()
        for task in self._workers:
            task.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self._backstage is not None:
            await self._backstage.stop()
        if self._embedded is not None:
            await self._embedded.stop()
