"""`spendgate backup` and `spendgate restore`: ledger and catalog, whole and consistent."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from hashlib import blake2b
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from gateway import __version__
from gateway.cli import data_dir as data_dirs
from gateway.cli.options import DataDir, LedgerUrl, settings_of
from gateway.cli.process import say
from gateway.errors import OperatorError
from gateway.ledger.history import History
from gateway.ledger.verify import verify
from gateway.settings import Settings
from gateway.sql.copy import check_sqlite, copy_sqlite, fact_in
from gateway.sql.engine import open_engine
from gateway.wiring import pseudonym_key

ROOMS = ("ledger", "catalog")
"""In this order: every org that the ledger knows is in a catalog copied after it."""
MANIFEST = "manifest.json"


class Manifest(msgspec.Struct):
    """A backup's contents: the head of its ledger's chain and the digest of its catalog.

    `key` is the fingerprint of the key of pseudonyms, which is not in the backup; `mac` is computed
    with that key over the rest, so a backup cannot be changed without it. Backups of earlier
    versions have none of the three.
    """

    version: str
    made_at_ms: int
    batch: int
    rows: int
    hash: str
    catalog: str = ""
    key: str = ""
    mac: str = ""

    def mac_under(self, key: bytes) -> str:
        """The code of these contents under a key."""
        said = (self.version, self.made_at_ms, self.batch, self.rows, self.hash, self.catalog)
        return blake2b(msgspec.json.encode(said), key=key, person=b"spendgate.backup").hexdigest()


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
    key = _key_of(settings, directory)
    manifest.key = pseudonym_key.fingerprint(key)
    manifest.mac = manifest.mac_under(key)
    (directory / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    say(f"backed up {manifest.rows} records; head: batch {manifest.batch} {manifest.hash}")
    say(
        f"the pseudonym key (fingerprint {manifest.key}) is not inside: keep"
        f" {settings.pseudonym_key_command or pseudonym_key.path_of(settings)} elsewhere, apart"
        " from this backup; without it a restored deployment knows nobody on a list"
    )


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
    if said.key or fact_in(directory / "catalog.db", pseudonym_key.FINGERPRINT):
        _check_catalog(settings, directory, said, found.catalog)
    data_dirs.prepare(settings.directory)
    for room in ROOMS:
        _file(settings, room).parent.mkdir(parents=True, exist_ok=True)
        _copy(directory / f"{room}.db", _file(settings, room))
    say(f"restored {found.rows} records; head: batch {found.batch} {found.hash}")


def _check_catalog(settings: Settings, directory: Path, said: Manifest, digest: str) -> None:
    """Raise OperatorError unless catalog and manifest are what the key's owner wrote."""
    key = pseudonym_key.check(settings, said.key)
    if not hmac.compare_digest(said.mac, said.mac_under(key)):
        raise OperatorError("backup_changed", f"{directory}: the manifest was changed")
    if digest != said.catalog:
        detail = f"{directory}: the catalog is not the one that was backed up"
        raise OperatorError("backup_changed", detail)


def _key_of(settings: Settings, directory: Path) -> bytes:
    """The key that the copied catalog was used with. Raises OperatorError."""
    known = fact_in(directory / "catalog.db", pseudonym_key.FINGERPRINT)
    if not known:
        detail = "the catalog is of an earlier version: start this one once, then back it up"
        raise OperatorError("no_pseudonym_key", detail)
    return pseudonym_key.check(settings, known)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    if fault := check_sqlite(directory / "catalog.db"):
        raise OperatorError("catalog_wrong", f"the catalog does not verify: {fault}")
    made_ms, catalog = time.time_ns() // 1_000_000, _digest(directory / "catalog.db")
    return Manifest(__version__, made_ms, head.n, head.rows, head.hash.hex(), catalog)
