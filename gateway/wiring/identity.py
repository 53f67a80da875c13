"""Check that store, ledger, catalog and data directory belong to one deployment.

A store that was booked in another ledger, or in an older copy, would decide on balances that cannot
be explained afterwards. So each has the deployment's id, and the store has the last batch it was
booked in; both are compared at every start.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from gateway.catalog.catalog import Catalog
from gateway.errors import OperatorError
from gateway.ledger.batch import Head
from gateway.ledger.deployment import DeploymentOf
from gateway.ledger.port import LedgerWriter, Streams
from gateway.ledger.writer import Gap, check_contiguous
from gateway.settings import Settings
from gateway.store.shards import Booked, Shards

FACT, FILE, USERS = "deployment", "deployment", "hash_users"


class Identity:
    """The deployment of these parts. Every method raises Unavailable when one does not answer."""

    def __init__(
        self, settings: Settings, shards: Shards, catalog: Catalog, books: DeploymentOf
    ) -> None:
        self._path = settings.directory / FILE
        self._hash_users = settings.hash_users
        self._shards = shards
        self._catalog = catalog
        self._books = books

    async def settle(self) -> str:
        """The deployment's id, written where it was not yet. Raises OperatorError."""
        found = await self._found()
        check_one(found, (await self._books.head()).n)
        known = found["catalog"] or found["ledger"] or _new(self._path)
        if not found["data directory"]:
            self._path.write_text(known + "\n", "ascii")
        if not found["ledger"]:
            await self._books.claim(known)
        if not found["catalog"]:
            await self._catalog.set_fact(FACT, known)
        await self._shards.claim(known)
        # Another first start at the same moment may have been faster.
        check_one(await self._found(), (await self._books.head()).n)
        await self._settle_users(is_new=not found["catalog"])
        return known

    async def _settle_users(self, *, is_new: bool) -> None:
        """Raise OperatorError when users are to be known otherwise than from the first start on."""
        wanted = str(self._hash_users)
        # An earlier version knew them by their ids.
        has_users = is_new and bool(await self._catalog.org_ids("", 1))
        await self._catalog.set_fact(USERS, "0" if has_users else wanted)
        if await self._catalog.fact(USERS) != wanted:
            detail = (
                f"SPENDGATE_HASH_USERS is {wanted}, and was not at the first start: every user"
                " would become two; set it as it was"
            )
            raise OperatorError("bad_setting", detail)

    async def _found(self) -> dict[str, str]:
        booked = await self._shards.booked()
        return {
            "catalog": await self._catalog.fact(FACT) or "",
            "ledger": await self._books.id(),
            "store": booked.deployment,
            "data directory": _read(self._path),
        }

    async def faults(self) -> list[str]:
        """Sentences that name each part of another deployment."""
        try:
            check_one(await self._found(), (await self._books.head()).n)
        except OperatorError as error:
            return [error.detail]
        booked, head = await self._shards.booked(), await self._books.head()
        return [fault] if (fault := await self._parted(booked, head)) else []

    async def check_books(self, ledger: LedgerWriter, streams: Streams) -> None:
        """Raise OperatorError when the ledger is not the one the store was booked in last."""
        booked, written = await self._shards.booked(), await ledger.written()
        if fault := await self._parted(booked, written.head):
            raise OperatorError("ledger_parted", fault)
        try:
            for record in await streams.records(written.cursors, 1):
                check_contiguous(record.shard, written.cursors.get(record.shard), record)
        except Gap as gap:
            raise OperatorError("ledger_gap", f"{gap}: {HINT}") from None

    async def _parted(self, booked: Booked, head: Head) -> str:
        if booked.n > head.n:
            return (
                f"the store was booked up to batch {booked.n}, and this ledger ends at batch"
                f" {head.n}: it is an older copy; {HINT}"
            )
        if booked.n and await self._books.batch_hash(booked.n) != booked.hash:
            return (
                f"the ledger's batch {booked.n} is not the one that this store was booked in: the"
                f" two have parted; {HINT}"
            )
        return ""


HINT = (
    "restore the newest ledger there is; if this is it, `spendgate rebuild` builds the store from"
    " it, and what only the store knew is lost"
)


def check_one(found: dict[str, str], batches: int) -> None:
    """Raise OperatorError unless all that have an id have the same, and none is new alone.

    `batches` are those that the ledger has. A first start writes its directory, ledger, catalog and
    store in this order, so one that was cut short left an empty ledger and no catalog.
    """
    named = {place: known for place, known in found.items() if known}
    if len(set(named.values())) > 1:
        said = ", ".join(f"the {place} to {known}" for place, known in named.items())
        detail = f"these do not belong together: {said}; check the urls and the data directory"
        raise OperatorError("other_deployment", detail)
    new = [place for place in ("catalog", "ledger") if not found[place]]
    is_cut_short = new == ["catalog"] and not batches and not found["store"]
    if set(named) <= {"data directory"} or not new or is_cut_short:
        return
    whose = ", ".join(f"the {place} of {known}" for place, known in named.items())
    verb = "is" if len(new) == 1 else "are"
    detail = (
        f"{' and '.join(new)} {verb} new, but {whose} belongs to a deployment that has some: point"
        " to them, or restore them"
    )
    raise OperatorError("other_deployment", detail)


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        return ""


def _new(path: Path) -> str:
    known = _read(path) or f"dep_{secrets.token_hex(8)}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(known + "\n", "ascii")
    return known
