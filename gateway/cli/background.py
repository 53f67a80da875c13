"""`spendgate background`: opens shards, writes the ledger; started by `serve`, not by hand."""

from __future__ import annotations

import asyncio
import sys

from gateway.cli.process import said_to_stop, say, warn
from gateway.cli.supervisor import READY, REFUSED
from gateway.errors import SpendgateError
from gateway.settings import Settings, decode
from gateway.wiring.background import prepare
from gateway.wiring.parts import collect_seldom


def background() -> None:
    """Open shards and write the ledger until SIGTERM, then write what is left."""
    asyncio.run(_run(decode(sys.stdin.readline())))


async def _run(settings: Settings) -> None:
    try:
        parts = await prepare(settings, settings.store_url, warn)
    except SpendgateError as error:
        say(REFUSED.decode() + str(error).replace("\n", " "))
        sys.exit(2)
    parts.start(settings)
    collect_seldom()
    say(READY.decode().strip())
    await said_to_stop()
    await parts.stop()
