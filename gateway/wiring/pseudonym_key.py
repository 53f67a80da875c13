"""The key of pseudonyms, kept outside the catalog, so that a copied catalog reveals no person.

Addresses, devices and list items are stored as hashes under this key. It never changes: another key
would match no list item and no counter. The catalog has its fingerprint, so a wrong key is refused.
"""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
from hashlib import blake2b
from pathlib import Path

from gateway.catalog.catalog import Catalog
from gateway.errors import OperatorError
from gateway.settings import Settings

FILE = "pseudonym.key"
FINGERPRINT, FORMER_SECRET = "pseudonym_key", "secret"
"""Facts of the deployment: of which key it is; and what earlier versions kept in its place."""
KEY_BYTES = 32
COMMAND_S = 20


def fingerprint(key: bytes) -> str:
    """Fingerprint of a key: identifies it and reveals nothing about it."""
    return blake2b(key, digest_size=8, person=b"spendgate.finger").hexdigest()


def path_of(settings: Settings) -> Path:
    """Where the key is kept."""
    return Path(settings.pseudonym_key_file or settings.directory / FILE)


def read(settings: Settings) -> bytes | None:
    """The key from its command or file; None where there is no file. Raises OperatorError."""
    if settings.pseudonym_key_command:
        return _parsed(_printed(settings.pseudonym_key_command), "the pseudonym key command")
    path = path_of(settings)
    try:
        return _parsed(path.read_text("ascii"), str(path))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError("no_pseudonym_key", f"cannot read {path}: {error}") from None


def _printed(command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  the operator's own command
            shlex.split(command), capture_output=True, text=True, timeout=COMMAND_S, check=True
        )
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        kind = type(error).__name__
        detail = f"SPENDGATE_PSEUDONYM_KEY_COMMAND did not print the key: {kind}"
        raise OperatorError("no_pseudonym_key", detail) from None
    return done.stdout


def _parsed(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        detail = f"{where} is no key: {2 * KEY_BYTES} hexadecimal digits are wanted"
        raise OperatorError("no_pseudonym_key", detail)
    return key


def write(path: Path, key: bytes) -> None:
    """Write a new key where none is, its owner's alone: whole and on disk, or not there at all.

    Raises OperatorError.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(key.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename it never takes the place of a key that is there.
        os.link(fresh, path)
        fresh.unlink()
        directory = os.open(path.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
    except OSError as error:
        detail = f"the pseudonym key cannot be written to {path}: {error.strerror}"
        raise OperatorError("no_pseudonym_key", detail) from None


async def settle(settings: Settings, catalog: Catalog) -> bytes:
    """The key of this deployment: made, or moved out of the catalog, at the first start.

    Raises OperatorError where it is missing or another one.
    """
    former = await catalog.fact(FORMER_SECRET)
    if await catalog.fact(FINGERPRINT) is None:
        wanted = bytes.fromhex(former) if former else None
        key = read(settings)
        if key is None:
            key = wanted or secrets.token_bytes(KEY_BYTES)
            write(path_of(settings), key)
        elif wanted is not None and key != wanted:
            raise OperatorError("wrong_pseudonym_key", _wrong(settings, fingerprint(wanted)))
        # On disk before it is gone from here.
        await catalog.set_fact(FINGERPRINT, fingerprint(key))
    if former is not None:
        await catalog.destroy_fact(FORMER_SECRET)
    return await load(settings, catalog)


async def load(settings: Settings, catalog: Catalog) -> bytes:
    """The key, checked against the catalog's fingerprint. Raises OperatorError."""
    known = await catalog.fact(FINGERPRINT)
    if known is None:
        raise OperatorError("no_pseudonym_key", "start the gateway once: it has no key yet")
    return check(settings, known)


def check(settings: Settings, known: str) -> bytes:
    """The key whose fingerprint is known. Raises OperatorError: it is missing, or another one."""
    key = read(settings)
    if key is None:
        detail = (
            f"there is no pseudonym key at {path_of(settings)} (fingerprint {known}): copy it from"
            " where this deployment ran before, or set SPENDGATE_PSEUDONYM_KEY_FILE or _COMMAND;"
            " without it nobody on a list would be known again"
        )
        raise OperatorError("no_pseudonym_key", detail)
    if fingerprint(key) != known:
        raise OperatorError("wrong_pseudonym_key", _wrong(settings, known))
    return key


def _wrong(settings: Settings, known: str) -> str:
    where = (settings.pseudonym_key_command and "the command") or str(path_of(settings))
    return (
        f"the pseudonym key of {where} is another one than this catalog was used with"
        f" (fingerprint {known}): nobody on a list would be known again"
    )
