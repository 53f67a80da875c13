"""Compare hot state, ledger and decisions org by org, to the micro-unit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import asdict

from gateway.catalog.catalog import Catalog
from gateway.core.caps import HELD
from gateway.core.funding import grant_name, waterfall
from gateway.core.names import own_book
from gateway.core.postings import HOT_KINDS, balance_of
from gateway.core.sources import ADJUSTMENTS, CREDIT_LINE, SHORTFALL, is_quota, name_of
from gateway.errors import SpendgateError
from gateway.flows.shared.profiles import Profiles
from gateway.flows.shared.services import SharedServices
from gateway.ledger.reader import AccountBalance, Ledger
from gateway.store.port import Store
from gateway.wire import records
from gateway.wire.answers import books as answers
from gateway.wire.answers.books import ReconcileAnswer

CATCH_UP_S = 10.0
ORGS_AT_A_TIME = 500
ROWS_AT_A_TIME = 20_000
ATTEMPTS = 3
TRY_AGAIN_S = 1.0
BOOKS_EVERY_S = 30.0
"""Sums over whole tables: seldom, however few orgs there are."""
ROUND_PAUSES = 20
"""A round of all orgs lasts no shorter than so many pauses: a few are not compared on and on."""
BOOKS = ""
"""Where a watch keeps what the books differ in: no org has this id."""

MOST_DIFFERENCES = 100
"""Differences that a report shows."""


class Difference(Struct, frozen=True):
    """Two sides that should be equal. `org` is a book, or a currency for the trial balance."""

    org: str
    what: str
    hot_micros: int | None
    """Balance in the store; for a book that of its decisions, for the trial balance the debits."""
    ledger_micros: int | None


@dataclass
class Report:
    """Counts of what was compared, and every difference."""

    orgs: int = 0
    holds: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        """Whether everything agrees."""
        return not self.differences


async def lag_s(ledger: Ledger, store: Store) -> float:
    """Age of the oldest record that the ledger does not have yet, in seconds."""
    cursors = await ledger.cursors()
    now_ms = await store.ping()
    oldest = now_ms
    for record in await store.records(cursors, 1):
        out, _ = records.decode(record)
        oldest = min(oldest, out.now_ms)
    return max(0, now_ms - oldest) / 1000


@dataclass(frozen=True)
class Reconciler:
    """Compares what a deployment's parts say of the same money."""

    store: Store
    catalog: Catalog
    ledger: Ledger
    profiles: Profiles

    async def everything(self) -> Report:
        """Compare every org, every book and the totals. Raises Unavailable."""
        report = Report()
        async for org in self.orgs():
            report.orgs += 1
            report.differences += await self.org(org)
        report.holds, differences = await self.books()
        report.differences += differences
        return report

    async def orgs(self) -> AsyncIterator[str]:
        """Every org that was created, in order."""
        after = ""
        while page := await self.catalog.org_ids(after, ORGS_AT_A_TIME):
            for org in page:
                yield org
            after = page[-1]

    async def org(self, org: str) -> list[Difference]:
        """Compare hot balances with the ledger's, both as of one record.

        The store returns balances with the last record that may have moved them; the ledger answers
        as of that record.
        """
        # A grant or period that begins between two reads looks like a difference: it does not stay.
        found: list[Difference] = []
        for _ in range(ATTEMPTS):
            found = await self._compare(org)
            if not found:
                break
        return found

    async def books(self) -> tuple[int, list[Difference]]:
        """Decisions beside postings, book by book, and the trial balance: (holds, differences)."""
        moved = ROWS_AT_A_TIME
        while moved == ROWS_AT_A_TIME:
            moved = await self.ledger.advance(ROWS_AT_A_TIME)
        found, holds = [], 0
        for book in await self.ledger.books():
            holds += book.holds
            name = book.book
            found += _unequal(name, "holds by record", book.held_by_records, book.held_by_postings)
            found += _unequal(name, "charges", book.charged, book.revenue)
        totals: dict[str, list[int]] = {}
        for total in await self.ledger.trial_balance():
            of = totals.setdefault(total.currency, [0, 0])
            of[0] += total.debits
            of[1] += total.credits
        for currency, (debits, credits) in totals.items():
            found += _unequal(currency, "trial balance", debits, credits)
        return holds, found

    async def _compare(self, org: str) -> list[Difference]:
        _, grants = await self.store.grants(org)
        known = [grant_name(records.decode_grant(meta).id) for meta, _ in grants]
        periods = await self._included_names(org)
        names = (ADJUSTMENTS, CREDIT_LINE, SHORTFALL, HELD, *known, *periods)
        snapshot = await self.store.snapshot(org, names)
        position = (snapshot.epoch, snapshot.seq)
        if snapshot.epoch:
            await self.ledger.reach(snapshot.shard, position, CATCH_UP_S)
        hot = dict(zip(names, snapshot.balances, strict=True))
        as_of = (snapshot.shard, position, snapshot.now_ms)
        booked = _booked(await self.ledger.balances(own_book(org), *as_of))
        found: list[Difference] = []
        for name in names:
            found += _unequal(org, name, hot[name], booked.pop(name, 0))
        for name, value in booked.items():
            # Periods that are over have left the store; a grant that ended is booked down to 0.
            if not is_quota(name):
                found += _unequal(org, name, 0, value)
        return found

    async def _included_names(self, org: str) -> list[str]:
        """Quota of the periods that are running now."""
        profile = await self.profiles.load(org)
        sources, _, _ = waterfall(profile, None, await self.store.ping())
        return [s.name for s in sources if is_quota(s.name)]


class Watch:
    """Compares everything again and again at a pace, and says what is new among differences."""

    def __init__(
        self, reconciler: Reconciler, pause_s: float, on_event: Callable[[str], None]
    ) -> None:
        self._reconciler = reconciler
        self._pause_s = pause_s
        self._on_event = on_event
        self._found: dict[str, list[Difference]] = {}
        self._books_at_s = 0.0
        self.orgs = 0
        """Number of orgs compared in this pass."""

    @property
    def differences(self) -> int:
        """Number of differences, as of the last comparison of each org and of the books."""
        return sum(len(found) for found in self._found.values())

    async def run(self) -> None:
        """Compare until cancelled. What does not answer is tried again."""
        while True:
            try:
                await self._round()
            except SpendgateError:
                await asyncio.sleep(TRY_AGAIN_S)

    async def _round(self) -> None:
        loop = asyncio.get_running_loop()
        ends_at_s = loop.time() + ROUND_PAUSES * self._pause_s
        async for org in self._reconciler.orgs():
            self._note(org, await self._reconciler.org(org))
            self.orgs += 1
            await asyncio.sleep(self._pause_s)
        if loop.time() >= self._books_at_s:
            self._note(BOOKS, (await self._reconciler.books())[1])
            self._books_at_s = loop.time() + BOOKS_EVERY_S
        await asyncio.sleep(max(self._pause_s, ends_at_s - loop.time()))

    def _note(self, where: str, found: list[Difference]) -> None:
        known = {(d.org, d.what) for d in self._found.pop(where, ())}
        if found:
            self._found[where] = found
        for d in found:
            if (d.org, d.what) not in known:
                sides = f"{d.hot_micros} micros beside {d.ledger_micros} in the ledger"
                self._on_event(f"reconcile: {d.org}, {d.what}: {sides}")


def _unequal(org: str, what: str, hot: int | None, ledger: int | None) -> list[Difference]:
    return [] if hot == ledger else [Difference(org, what, hot, ledger)]


def _booked(accounts: Iterable[AccountBalance]) -> dict[str, int]:
    return {
        name_of(a.kind, a.ref): balance_of(a.kind, a.debits, a.credits)
        for a in accounts
        if a.kind in HOT_KINDS
    }


async def reconciliation(services: SharedServices) -> ReconcileAnswer:
    """Compare everything once, and present the first differences. Raises Unavailable."""
    parts = Reconciler(services.store, services.catalog, services.ledger, services.profiles)
    report = await parts.everything()
    shown = [answers.Difference(**asdict(one)) for one in report.differences[:MOST_DIFFERENCES]]
    return ReconcileAnswer(
        ok=report.is_ok,
        checked=answers.Checked(orgs=report.orgs, holds=report.holds),
        lag_s=await lag_s(services.ledger, services.store),
        differences=shown,
    )
