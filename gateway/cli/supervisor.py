"""Child processes of `serve`: started, watched, started again when they end, stopped in order."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from gateway.errors import OperatorError
from gateway.settings import Settings
from gateway.store.embedded import bare_environment, die_with_parent

START_S = 120
STOP_S = 60
PAUSE_S = 0.2
READY, REFUSED = b"ready\n", b"refused "


class Child:
    """One `python -m gateway.cli <command>` that says `ready` on its output once it is."""

    def __init__(
        self, command: str, name: str, settings: Settings, warn: Callable[[str], None]
    ) -> None:
        self._command = command
        self._name = name
        self._settings = settings
        self._warn = warn
        self._is_stopping = False
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises OperatorError when it is not."""
        ready = asyncio.get_running_loop().create_future()
        self._keeping = asyncio.create_task(self._keep(ready))
        await ready

    async def _keep(self, ready: asyncio.Future[None]) -> None:
        while not self._is_stopping:
            self._process = process = await self._spawn()
            said = await self._first_line(process)
            if said == READY and not ready.done():
                ready.set_result(None)
            code = await process.wait()
            if self._is_stopping:
                return
            if not ready.done():
                ready.set_exception(self._fault(said, code))
                return
            self._warn(f"{self._name} ended with {code}; starting it again")
            await asyncio.sleep(PAUSE_S)

    async def _spawn(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.cli",
            self._command,
            env=bare_environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            preexec_fn=die_with_parent,
            # A terminal's Ctrl-C goes to the parent alone, which stops its children in order.
            start_new_session=True,
        )
        assert process.stdin is not None
        # Not by the environment, which every process of this user can read.
        process.stdin.write(self._settings.encode().encode() + b"\n")
        process.stdin.close()
        return process

    @staticmethod
    async def _first_line(process: asyncio.subprocess.Process) -> bytes:
        assert process.stdout is not None
        try:
            return await asyncio.wait_for(process.stdout.readline(), START_S)
        except TimeoutError:
            process.kill()
            return b""

    def _fault(self, said: bytes, code: int) -> OperatorError:
        if said.startswith(REFUSED):
            return OperatorError("refused", said.removeprefix(REFUSED).decode().strip())
        return OperatorError("child_start", f"{self._name} ended with {code} while starting")

    def end(self) -> None:
        """Ask the process to end, and do not restart it."""
        self._is_stopping = True
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    async def wait(self) -> None:
        """Wait until it has ended; one that does not end in time is killed."""
        process = self._process
        if process is not None and process.returncode is None:
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                process.kill()
        if self._keeping is not None:
            await asyncio.gather(self._keeping, return_exceptions=True)
