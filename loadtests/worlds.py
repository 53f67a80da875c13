"""A simulated world as the records a gateway would have written, fed to the streaming engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from gateway.core.commands import Moved, Outcome
from gateway.core.facts import facts_of
from gateway.core.pricing import Price
from gateway.core.request_record import Customer, EventRecord, RecordedTerms, RequestRecord
from gateway.flows.analysis.point_in_time import PointInTime
from models.features import FEATURES, Assembler, reads_of
from models.world import (
    BEGINS_MS,
    COUNTRIES,
    DAY_MS,
    DEARNESS,
    HOURS_AHEAD,
    PRODUCTS,
    TIMEZONES,
    World,
)

READS = reads_of(FEATURES)
TOLD = ("free_share", "held", "open_holds", "tokens", "context.asn in @datacentres",
        "context.email_domain in @disposable_mail")  # fmt: skip
"""What a world says itself: no window tells it."""
ZONES = dict(zip(HOURS_AHEAD.tolist(), TIMEZONES, strict=True))

Record = tuple[Outcome | Moved, RequestRecord | EventRecord, dict[str, float]]


class Stream:
    """The rows of a world, one by one."""

    def __init__(self, world: World) -> None:
        log = world.log
        self._world, self._log = world, log
        self._columns = {name: column.tolist() for name, column in log.entities.items()}
        self._facts = {name: log.facts[name].tolist() for name in log.facts}
        names = [name for name in READS if name.startswith("velocity.")]
        self.lookback = PointInTime(names, b"secret")
        self._assembler = Assembler(FEATURES)

    def records(self) -> list[Record]:
        """What a gateway would have written: of each request with what no window tells."""
        log = self._log
        types = log.type_codes.tolist()
        rows = zip(log.at_ms.tolist(), log.amounts.tolist(), log.refused.tolist(), strict=True)
        found: list[Record] = []
        for row, (at_ms, amount, refused) in enumerate(rows):
            if types[row]:
                found.append(self._told(row, log.types[types[row]], at_ms, amount))
                continue
            told = {name: self._facts[name][row] for name in TOLD}
            out = Outcome(not refused, at_ms, [], [], [], [])
            found.append((out, self._asked(row, amount), told))
        return found

    def vectors(self, records: Iterable[Record]) -> Iterator[tuple[float, ...]]:
        """The vector of each request, from what stands before it."""
        for out, of, told in records:
            if isinstance(of, RequestRecord) and isinstance(out, Outcome):
                seen = self.lookback.seen(of, out, ())
                yield self._assembler.vector({**facts_of(of, out.now_ms), **seen, **told})
            else:
                self.lookback.note(out, of)

    def _told(self, row: int, kind: str, at_ms: int, amount: int) -> Record:
        context, (org, user, key) = self._context(row), self._subject(row)
        happened = EventRecord(kind, "", user, key, at_ms, amount, context, "cred_1")
        return Moved(at_ms, kind, "evt", org, "", 0, 0, 0, 0, []), happened, {}

    def _subject(self, row: int) -> tuple[str, str, str]:
        user, key = self._columns["user"][row], self._columns["key"][row]
        org = f"o{self._columns['org'][row]}"
        return org, f"u{user}" if user >= 0 else "", f"k{key}" if key >= 0 else ""

    def _context(self, row: int) -> dict[str, str | int]:
        found: dict[str, str | int] = {}
        for name in ("ip", "network", "device"):
            if self._columns[name][row] >= 0:
                found[name] = f"{name}{self._columns[name][row]}"
        if self._columns["asn"][row] >= 0:
            found["asn"] = self._columns["asn"][row]
        if self._facts["context.country"][row] >= 0:
            found["country"] = COUNTRIES[int(self._facts["context.country"][row])]
        return found

    def _asked(self, row: int, amount: int) -> RequestRecord:
        org, user, key = self._subject(row)
        home = self._facts["org.country"][row]
        local, hour = self._facts["hour"][row], self._log.at_ms[row] // 3_600_000
        is_free = bool(self._facts["org.is_free"][row])
        age = self._facts["org.age"][row]
        created_ms = 0 if is_free else int(self._log.at_ms[row] - age)
        # Of a free user it is not known where they are: any zone of that hour.
        zones = [z for z in ZONES if (hour + z) % 24 == local]
        zone = zones[0] if is_free else int(HOURS_AHEAD[int(home)])
        country = "" if is_free else COUNTRIES[int(home)]
        customer = _customer("free" if is_free else "payg", created_ms, ZONES[zone], country)
        product = int(self._world.products[row])
        terms = _terms(org, user, key, product, is_free, customer)
        return RequestRecord(
            terms, f"dec_{row}", "", "", None, amount, (0, 0, 0, 0, 0), 0, False, (),
            self._context(row), False, "cred_1",
        )  # fmt: skip


@lru_cache(maxsize=100_000)
def _customer(plan: str, created_ms: int, zone: str, country: str) -> Customer:
    return Customer(plan, "startup", created_ms, zone, country)


@lru_cache(maxsize=100_000)
def _terms(
    org: str, user: str, key: str, product: int, is_free: bool, customer: Customer
) -> RecordedTerms:
    price = Price("default", "v1", "USD", {"tokens": 1}, 0, int(DEARNESS[product]))
    book = "~free" if is_free else org
    return RecordedTerms(
        org, "", user, key, PRODUCTS[product], book, "USD", price, (), (), (), (), customer
    )


__all__ = ["BEGINS_MS", "DAY_MS", "Stream"]
