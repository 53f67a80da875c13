"""The books: trial balance, usage, and whether hot state, ledger and decisions agree."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gateway.core.caps import HELD
from gateway.core.funding import ADJUSTMENTS, CREDIT_LINE, SHORTFALL, grant_name, waterfall
from gateway.core.postings import HOT_KINDS, balance_of
from gateway.errors import Unavailable
from gateway.flows.gateway import Caller, Gateway
from gateway.ledger.batch import Position
from gateway.ledger.reader import AccountBalance
from gateway.store.port import Snapshot
from gateway.wire import records
from gateway.wire.answers import rfc3339

CATCH_UP_S = 10.0
ORGS_AT_A_TIME = 500
MOST_DIFFERENCES = 100
ATTEMPTS = 3


async def trial_balance(gateway: Gateway) -> dict[str, Any]:
    """Debits and credits by currency and kind of account; equal, or the books are wrong."""
    currencies: dict[str, dict[str, Any]] = {}
    for total in await gateway.ledger.trial_balance():
        of = currencies.setdefault(
            total.currency, {"accounts": [], "debits_micros": 0, "credits_micros": 0}
        )
        of["accounts"].append(
            {"kind": total.kind, "debits_micros": total.debits, "credits_micros": total.credits}
        )
        of["debits_micros"] += total.debits
        of["credits_micros"] += total.credits
    return {"currencies": currencies}


@dataclass
class _Report:
    differences: list[dict[str, Any]] = field(default_factory=list)
    orgs: int = 0

    def check(self, org: str, what: str, hot: int | None, ledger: int | None) -> None:
        if hot != ledger:
            self.differences.append(
                {"org": org, "what": what, "hot_micros": hot, "ledger_micros": ledger}
            )


async def reconcile(gateway: Gateway) -> dict[str, Any]:
    """Hot balances, ledger balances and decision records explain each other to the micro-unit.

    Each org is compared as of one record: the store tells balances together with the last record
    that may have moved them, and the ledger answers as of that record.
    """
    report, after = _Report(), ""
    while True:
        page = await gateway.catalog.org_ids(after, ORGS_AT_A_TIME)
        for org in page:
            report.orgs += 1
            report.differences += await _org_differences(gateway, org)
        if len(page) < ORGS_AT_A_TIME:
            break
        after = page[-1]
    await _check_books(gateway, report)
    for currency, totals in (await trial_balance(gateway))["currencies"].items():
        report.check(currency, "trial balance", totals["debits_micros"], totals["credits_micros"])
    return {
        "ok": not report.differences,
        "checked": {"orgs": report.orgs, "holds": await gateway.ledger.count_holds()},
        "lag_s": await lag_s(gateway),
        "differences": report.differences[:MOST_DIFFERENCES],
    }


async def _org_differences(gateway: Gateway, org: str) -> list[dict[str, Any]]:
    # A grant or period that begins between two reads looks like a difference: it does not stay.
    found: list[dict[str, Any]] = []
    for _ in range(ATTEMPTS):
        found = await _check_org(gateway, org)
        if not found:
            break
    return found


async def _check_org(gateway: Gateway, org: str) -> list[dict[str, Any]]:
    report = _Report()
    _, grants = await gateway.store.grants(org)
    known = [grant_name(records.decode_grant(meta).id) for meta, _ in grants]
    periods = await _included_names(gateway, org)
    names = (ADJUSTMENTS, CREDIT_LINE, SHORTFALL, HELD, *known, *periods)
    snapshot = await gateway.store.snapshot(org, names)
    await _wait_for_writer(gateway, snapshot)
    hot = dict(zip(names, snapshot.balances, strict=True))
    position = (snapshot.epoch, snapshot.seq)
    as_of = (snapshot.shard, position, snapshot.now_ms)
    booked = _booked(await gateway.ledger.balances(org, *as_of))
    for name in names:
        report.check(org, name, hot[name], booked.pop(name, 0))
    for name, value in booked.items():
        # Periods that are over have left the store; a grant that ended must be booked down to 0.
        if not name.startswith("i/"):
            report.check(org, name, 0, value)
    return report.differences


async def _included_names(gateway: Gateway, org: str) -> list[str]:
    """Quota of the periods that are running now."""
    profile = await gateway.profiles.load(org)
    sources, _, _ = waterfall(profile, None, await gateway.store.ping())
    return [s.name for s in sources if s.name.startswith("i/")]


def _booked(accounts: Iterable[AccountBalance]) -> dict[str, int]:
    prefix = {"grant": "g/", "included": "i/"}
    return {
        prefix[a.kind] + a.ref if a.kind in prefix else a.kind: balance_of(
            a.kind, a.debits, a.credits
        )
        for a in accounts
        if a.kind in HOT_KINDS
    }


async def _wait_for_writer(gateway: Gateway, snapshot: Snapshot) -> None:
    wanted: Position = (snapshot.epoch, snapshot.seq)
    started = asyncio.get_running_loop().time()
    while snapshot.epoch:
        if (await gateway.ledger.cursors()).get(snapshot.shard, (0, -1)) >= wanted:
            return
        if asyncio.get_running_loop().time() - started > CATCH_UP_S:
            raise Unavailable("ledger_behind", f"the ledger is more than {CATCH_UP_S:.0f} s behind")
        await asyncio.sleep(0.02)


async def _check_books(gateway: Gateway, report: _Report) -> None:
    for book in await gateway.ledger.books():
        report.check(book.book, "holds by record", book.held_by_records, book.held_by_postings)
        report.check(book.book, "charges", book.charged, book.revenue)


async def lag_s(gateway: Gateway) -> float:
    """Age of the oldest record that the ledger does not have yet, in seconds."""
    cursors = await gateway.ledger.cursors()
    now_ms = await gateway.store.ping()
    oldest = now_ms
    for record in await gateway.store.records(cursors, 1):
        out, _ = records.decode(record)
        oldest = min(oldest, out.now_ms)
    return max(0, now_ms - oldest) / 1000


async def usage(
    gateway: Gateway, org: str, span: tuple[int, int], group_by: tuple[str, ...], caller: Caller
) -> dict[str, Any]:
    """What an org was charged in [from, to), grouped by product and day (UTC)."""
    caller.check_org(org)
    rows = await gateway.ledger.usage(org, span[0], span[1], group_by)
    for row in rows:
        if "day" in row:
            row["day"] = rfc3339(row["day"] * 86_400_000)[:10]
    return {"rows": rows}
