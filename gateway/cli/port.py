"""Own a port for one deployment: no accidental sharing, takeover on purpose.

Workers share their port by SO_REUSEPORT, which would also share it with a gateway on other data. So
the parent that owns a port holds a lock file that names its deployment.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

from gateway.errors import OperatorError
from gateway.http.listening import listening_socket
from gateway.store.embedded import runtime_directory

DRAINED_S = 90
"""Seconds the replaced parent gets to drain and exit; each of its children gets 60."""


class Port:
    """The port of one `serve`: reserved, locked, and let go of at the end."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._wanted = host, port
        self._reserved: socket.socket | None = None
        self._lock: int | None = None
        self._former: int | None = None
        self._is_ours = False
        self.number = 0

    @property
    def address(self) -> str:
        """Where it is reached."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.number}"

    def take(self, *, takeover: bool) -> None:
        """Reserve it for workers that come and go. Raises OperatorError when it is in use."""
        self.number = self._wanted
        if takeover and self._wanted:
            self._hold_lock(takeover=True)
        if self._former is None:
            self._probe()
        try:
            # Bound but not listening: it keeps the port.
            self._reserved = listening_socket(self._host, self._wanted)
        except OSError as error:
            raise self._cannot(error) from None
        self.number = int(self._reserved.getsockname()[1])
        if self._lock is None:
            self._hold_lock(takeover=False)

    def _probe(self) -> None:
        """Bind the port exclusively and release it; fails if any process listens on it."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                alone.bind((self._host, self._wanted))
            except (OSError, OverflowError) as error:
                raise self._cannot(error) from None

    def _cannot(self, error: Exception) -> OperatorError:
        what = getattr(error, "strerror", None) or str(error)
        hint = ""
        if "in use" in what:
            hint = "; `serve --takeover` takes over from a gateway of the same deployment"
        detail = f"cannot listen on {self._host}:{self._wanted}: {what.lower()}{hint}"
        return OperatorError("cannot_listen", detail)

    @property
    def _path(self) -> Path:
        host = self._host.replace(":", "_").replace("/", "_")
        return runtime_directory() / f"port-{host}-{self.number}.lock"

    def _hold_lock(self, *, takeover: bool) -> None:
        self._lock = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who had it before is nobody that a successor may end.
            os.ftruncate(self._lock, 0)
        except BlockingIOError:
            holder = _said(self._lock)
            if takeover and holder:
                self._former = int(holder["pid"])
                return
            detail = f"another gateway is starting on {self._host}:{self.number}"
            raise OperatorError("cannot_listen", detail) from None

    def check_former(self, deployment: str) -> None:
        """Raise OperatorError unless the owner of the port serves this deployment."""
        if self._former is None or self._lock is None:
            return
        known = _said(self._lock).get("deployment", "")
        if known != deployment:
            detail = f"the gateway on {self._host}:{self.number} serves {known}, not {deployment}"
            raise OperatorError("other_deployment", detail)

    async def succeed(self, deployment: str) -> None:
        """Become the owner of the port; the former owner drains and ends."""
        assert self._lock is not None
        if self._former is not None:
            with suppress(ProcessLookupError):
                os.kill(self._former, signal.SIGTERM)
            until = time.monotonic() + DRAINED_S
            while not _locked(self._lock):
                if time.monotonic() > until:
                    detail = f"the gateway on {self._host}:{self.number} did not end in time"
                    raise OperatorError("cannot_take_over", detail)
                await asyncio.sleep(0.1)
        os.ftruncate(self._lock, 0)
        said = json.dumps({"pid": os.getpid(), "deployment": deployment})
        os.pwrite(self._lock, said.encode(), 0)
        self._is_ours = True

    def let_go(self) -> None:
        """Let go of port and lock."""
        if self._reserved is not None:
            self._reserved.close()
        if self._lock is not None:
            if self._is_ours:
                os.ftruncate(self._lock, 0)
            os.close(self._lock)


def _said(lock: int) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(os.pread(lock, 1000, 0) or b"{}")
    except ValueError:
        return {}
    return found


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
