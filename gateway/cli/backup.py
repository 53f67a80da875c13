"""`spendgate backup` and `spendgate restore`: ledger and catalog, whole and consistent."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from gateway import __version__
from gateway.cli.options import DataDir, LedgerUrl, settings_of
from gateway.cli.running import say
from gateway.errors import OperatorError
from gateway.ledger.history import History
from gateway.ledger.verify import verify
from gateway.settings import Settings
from gateway.sql.copy import copy_sqlite
from gateway.sql.engine import open_engine

ROOMS = ("ledger", "catalog")
"""In this order: every org that the ledger knows is in a catalog copied after it."""
MANIFEST = "manifest.json"


class Manifest(msgspec.Struct):
    """What a backup holds, and the head of its ledger's chain."""

    version: str
    made_at_ms: int
    batch: int
    rows: int
    hash: str


Directory = Annotated[Path, typer.Argument(help="the directory of the backup")]


def backup(directory: Directory, data_dir: DataDir = None, ledger_url: LedgerUrl = None) -> None:
    """Copy ledger and catalog, while the gateway serves; the copy is verified."""
    settings = settings_of(data_dir, None, ledger_url)
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise OperatorError("not_empty", f"{directory} is not empty: give each backup its own")
    for room in ROOMS:
        _copy(_file(settings, room), directory / f"{room}.db")
    manifest = asyncio.run(_verified(directory))
    (directory / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    say(f"backed up {manifest.rows} records; head: batch {manifest.batch} {manifest.hash}")


def restore(directory: Directory, data_dir: DataDir = None, ledger_url: LedgerUrl = None) -> None:
    """Put a backup into an empty deployment; its store is built from the ledger at the start."""
    settings = settings_of(data_dir, None, ledger_url)
    try:
        said = msgspec.json.decode((directory / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise OperatorError("no_backup", f"{directory} holds no whole backup: {error}") from None
    for room in ROOMS:
        if _file(settings, room).exists():
            detail = f"{_file(settings, room)} exists: restore into an empty deployment"
            raise OperatorError("not_empty", detail)
    found = asyncio.run(_verified(directory))
    if (found.batch, found.hash) != (said.batch, said.hash):
        raise OperatorError("backup_changed", f"{directory} is not what its manifest says")
    for room in ROOMS:
        _file(settings, room).parent.mkdir(parents=True, exist_ok=True)
        _copy(directory / f"{room}.db", _file(settings, room))
    say(f"restored {found.rows} records; head: batch {found.batch} {found.hash}")


def _file(settings: Settings, room: str) -> Path:
    url = settings.sql_url(room)
    if not url.startswith("sqlite:///"):
        detail = f"the {room} is in PostgreSQL: use pg_dump and pg_restore, which are made for it"
        raise OperatorError("not_sqlite", detail)
    return Path(url.removeprefix("sqlite:///"))


def _copy(source: Path, to: Path) -> None:
    if not source.exists():
        raise OperatorError("not_found", f"there is no {source}: is this the right data-dir?")
    copy_sqlite(source, to)


async def _verified(directory: Path) -> Manifest:
    engine = open_engine(f"sqlite:///{(directory / 'ledger.db').resolve()}")
    try:
        verdict = await verify(History(engine), lambda rows: None)
    finally:
        await engine.dispose()
    if verdict.fault:
        raise OperatorError("ledger_wrong", f"the ledger does not verify: {verdict.fault}")
    head = verdict.head
    return Manifest(__version__, time.time_ns() // 1_000_000, head.n, head.rows, head.hash.hex())
