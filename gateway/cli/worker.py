"""`spendgate worker`: one worker process; started by `serve`, not by hand."""

from __future__ import annotations

import logging
import os
import sys

import uvloop

from gateway.cli.process import said_to_stop, say, warn
from gateway.cli.supervisor import READY
from gateway.settings import Settings, decode
from gateway.wiring.parts import collect_seldom
from gateway.wiring.worker import serve_worker


def worker() -> None:
    """Serve until SIGTERM, then finish what is under way."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    uvloop.run(_run(decode(sys.stdin.readline())))


async def _run(settings: Settings) -> None:
    parts, serving = await serve_worker(settings, f"worker-{os.getpid()}", warn)
    say(READY.decode().strip())
    collect_seldom()
    await said_to_stop()
    parts.services.health.is_draining = True
    await serving.stop()
    await parts.close()
