"""A ledger file as an auditor reads it: read-only, record by record, in the order of `seq`."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.core.commands import Ended, Moved, Outcome
from gateway.store import keys
from gateway.store.pipeline import Pipeline, parse_url
from gateway.wire import records
from gateway.wire.records import StreamRecord
from tests.gateways import Caller, Gateway


@dataclass(frozen=True)
class Standing:
    """Where an org stands after one of its records, by what the records themselves say."""

    seq: int
    kind: str
    out: Outcome | Ended | Moved
    funded: int
    held: int
    captured: int
    shortfall: int

    @property
    def available(self) -> int:
        return self.funded - self.held - self.captured


class Books:
    """The ledger of a gateway, and the catalog beside it."""

    def __init__(self, gateway: Gateway) -> None:
        self.ledger = gateway.directory / "ledger.db"
        self.catalog = gateway.directory / "catalog.db"
        self.store_url = gateway.store_url

    def read(self, file: Path, query: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            return database.execute(query, values).fetchall()

    def prefixes(self, org: str) -> list[Standing]:
        """The org's standing after each of its records.

        At every prefix the double entry must tell the same: an account's postings up to there
        are summed beside the records.
        """
        shard = keys.shard_of(org)
        lines = self.read(
            self.ledger,
            "SELECT r.epoch, r.seq, r.kind, r.hold, r.out, r.body, coalesce(t.body, x'')"
            " FROM records r LEFT JOIN terms t ON t.day = r.day AND t.id = r.terms"
            " WHERE r.shard = ? AND r.org = ? ORDER BY r.epoch, r.seq",
            shard,
            org,
        )
        posted = self._posted(org, shard)
        found: list[Standing] = []
        funded = held = captured = shortfall = unpaid = 0
        for epoch, seq, kind, hold, packed, body, terms in lines:
            line = StreamRecord(shard, epoch, seq, kind, packed, body, terms)
            out, _ = records.decode(line)
            if isinstance(out, Outcome):
                taken = sum(out.draws)
                held, captured = (held + taken, captured) if hold else (held, captured + taken)
            elif isinstance(out, Ended):
                held -= out.held
                captured += out.captured
                shortfall += out.shortfall
                unpaid += out.shortfall
                assert out.held == out.released + sum(part.amount for part in out.kept)
            else:
                funded += max(0, out.amount) - out.settled - sum(p.amount for p in out.draws)
                funded -= max(0, -out.amount) if out.kind in ("void", "lapse") else 0
                shortfall += out.shortfall - out.settled
            found.append(Standing(seq, kind, out, funded, held, captured, shortfall))
            kinds = posted.sums((epoch, seq))
            assert kinds.get("held", 0) == held, (org, seq, kinds)
            assert kinds.get("revenue", 0) - captured == unpaid, (org, seq, kinds)
            assert -kinds.get("shortfall", 0) == shortfall, (org, seq, kinds)
            spendable = ("grant", "adjustments", "credit_line", "included")
            assert sum(kinds.get(k, 0) for k in spendable) == found[-1].available, (org, seq, kinds)
        assert found, f"the ledger says nothing of {org}"
        return found

    def _posted(self, org: str, shard: int) -> _Posted:
        rows = self.read(
            self.ledger,
            "SELECT p.epoch, p.seq, d.kind, c.kind, p.amount_micros FROM postings p"
            " JOIN accounts d ON d.id = p.debit JOIN accounts c ON c.id = p.credit"
            " WHERE p.shard = ? AND d.book = ? AND c.book = ? ORDER BY p.epoch, p.seq, p.n",
            shard,
            org,
            org,
        )
        return _Posted(iter(rows))

    async def agree(self, caller: Caller, *orgs: str) -> None:
        """The ledger has all there is of these orgs, and it explains their balances exactly."""
        store = Pipeline(parse_url(self.store_url), deadline_s=10)
        try:
            for org in orgs:
                shard = keys.shard_of(org)
                info = await store.call("XINFO", "STREAM", keys.stream(shard))
                last = info[info.index(b"last-generated-id") + 1].decode()
                await self._written(shard, tuple(map(int, last.split("-"))))
                standing, balance = self.prefixes(org)[-1], await caller.balance(org)
                assert standing.held == balance["held_micros"], org
                assert standing.shortfall == balance["shortfall_micros"], org
                assert standing.available == balance["available_micros"], org
        finally:
            await store.close()

    async def _written(self, shard: int, last: tuple[int, ...]) -> None:
        query = "SELECT epoch, seq FROM cursors WHERE shard = ?"
        for _ in range(500):
            rows = self.read(self.ledger, query, shard)
            if rows and tuple(rows[0]) >= last:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"the ledger is more than 10 s behind in shard {shard}")

    def charges(self, org: str) -> tuple[int, int, int]:
        """How many charges an org has, what they captured, and their shortfall."""
        query = (
            "SELECT count(*), coalesce(sum(captured_micros), 0), coalesce(sum(shortfall_micros), 0)"
            " FROM charges WHERE shard = ? AND org = ?"
        )
        n, captured, shortfall = self.read(self.ledger, query, keys.shard_of(org), org)[0]
        return n, captured, shortfall

    def has_account(self, org: str) -> bool:
        """Whether anything but records of what it asked was ever written of an org."""
        in_ledger = self.read(self.ledger, "SELECT 1 FROM accounts WHERE book = ? LIMIT 1", org)
        tables = [("orgs", "id"), ("contracts", "org"), ("members", "org"), ("limits", "org")]
        in_catalog = [
            self.read(self.catalog, f"SELECT 1 FROM {table} WHERE {column} = ? LIMIT 1", org)
            for table, column in tables
        ]
        return bool(in_ledger) or any(in_catalog)


@dataclass
class _Posted:
    """Postings of one book, summed up to a record: credits − debits by kind of account."""

    rows: Iterator[tuple[int, int, str, str, int]]
    kinds: dict[str, int] = field(default_factory=dict)
    ahead: tuple[int, int, str, str, int] | None = None

    def sums(self, upto: tuple[int, int]) -> dict[str, int]:
        row = self.ahead or next(self.rows, None)
        while row is not None and (row[0], row[1]) <= upto:
            _, _, debit, credit, amount = row
            self.kinds[debit] = self.kinds.get(debit, 0) - amount
            self.kinds[credit] = self.kinds.get(credit, 0) + amount
            row = next(self.rows, None)
        self.ahead = row
        return self.kinds
