"""An org's life in the reference machine, and a ledger that reads its records."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from gateway.core import machine, plan, settle
from gateway.core.caps import FREE_HELD, HELD
from gateway.core.commands import (
    AdjustOrder,
    Ended,
    Finish,
    GrantOrder,
    Mode,
    Outcome,
    Reply,
    VoidOrder,
)
from gateway.core.entities import (
    Cap,
    Grant,
    GrantKind,
    Included,
    Org,
    PricePlan,
    Profile,
    RateLimit,
)
from gateway.core.funding import waterfall
from gateway.core.holds import Step
from gateway.core.limits import finals_of
from gateway.core.postings import (
    HOT_KINDS,
    Account,
    Posting,
    balance_of,
    of_ended,
    of_moved,
    of_outcome,
)
from gateway.core.request_record import AdminNote, EndNote, RequestRecord
from gateway.core.sources import ADJUSTMENTS, CREDIT_LINE, SHORTFALL
from gateway.core.state import Record, Shard
from gateway.core.terms import Terms, compile_terms, terms_of_hold, versions_of
from gateway.core.windows import FOREVER_MS
from gateway.wire import records
from gateway.wire.records import StreamRecord
from tests.unit.core.making import CARD, CREATED, NOON, lineage, lineage_terms

PLAN = PricePlan(
    "payg",
    "default",
    (
        Included("daily", 300, "day", ("gpt",), rollover=True),
        Included("monthly", 500, "month"),
    ),
    (Cap("minute", "org", "minute", 2_000, from_plan=True),),
    (RateLimit("open", "org", "concurrent", 6, from_plan=True),),
)
CAPS = (
    Cap("daily", "user", "day", 5_000),
    Cap("seen", "org", "hour", 10, "soft"),
    Cap("any", "org", None, 3_000, window_s=90),
    Cap("tokens", "user", "hour", 0, units=("input_tokens", "output_tokens"), limit=9_000),
    Cap("input", "org", None, 0, "soft", units=("input_tokens",), limit=9, window_s=60),
)
WHO = lineage(user="u_1", run="run-1")


@dataclass
class Life:
    """One org in the reference machine, and a ledger that reads its records."""

    is_free: bool
    credit_line: int
    now_ms: int = NOON
    plan: PricePlan = PLAN
    org_version: int = 1
    shard: Shard = field(default_factory=Shard)
    holds: list[str] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    read: int = 0
    debits: dict[Account, int] = field(default_factory=lambda: defaultdict(int))
    credits: dict[Account, int] = field(default_factory=lambda: defaultdict(int))
    serial: int = 0

    def __post_init__(self) -> None:
        for version in versions_of(self.profile()):
            self.shard.versions[version.kind, version.id] = version.expected

    def profile(self) -> Profile:
        known = self.shard.grants.get("acme", {})
        return Profile(
            Org(
                "acme",
                self.plan.id,
                credit_line_micros=self.credit_line,
                version=0 if self.is_free else self.org_version,
                created_ms=CREATED,
            ),
            self.plan,
            CARD,
            grants=tuple(g for g in self.grants if g.id in known),
            grants_version=self.shard.versions.get(("grants", "acme"), 0),
            caps=CAPS,
        )

    def terms(self, product: str = "gpt") -> Terms:
        return records.seal(compile_terms(self.profile(), lineage_terms(WHO), product, self.now_ms))

    def _id(self, prefix: str) -> str:
        self.serial += 1
        return f"{prefix}_{self.serial}"

    # What may happen.

    def authorize(self, amount: int, mode: Mode, product: str, ttl_s: int) -> Reply:
        terms, hold_id = self.terms(product), self._id("hold")
        settles = mode is Mode.CAPTURE
        counted = {"input_tokens": amount} if amount % 3 == 0 and terms.price else None
        request = plan.Request(
            WHO, product, counted, None if counted else amount, mode, 1_000 * ttl_s, {},
            settles=settles,
        )  # fmt: skip
        amount = plan.quote(terms, request)
        asked = plan.make(terms, request, self._id("dec"), hold_id, amount)
        packed = records.encode_asked(asked, terms)
        order = plan.assemble(terms, asked, request, packed, FOREVER_MS)
        reply = machine.authorize(self.shard, order, self.now_ms)
        if reply.outcome is not None and reply.outcome.allowed and mode is Mode.HOLD:
            self.holds.append(hold_id)
        return reply

    def extend(self, which: int, amount: int) -> None:
        hold_id = self._pick(which)
        entry = self.shard.hold(hold_id, self.now_ms)
        if entry is None:
            return
        asked = records.decode_asked(entry[1])
        today, created_ms = self.terms(asked.terms.product), entry[0].created_ms
        terms = records.seal(
            terms_of_hold(today, self.profile(), lineage_terms(WHO), None, created_ms)
        )
        request = plan.Request(
            WHO, asked.terms.product, None, amount, Mode.HOLD, 0, {}, extends=True
        )
        addition = plan.make(terms, request, self._id("dec"), hold_id, amount)
        packed = records.encode_asked(addition, terms)
        order = plan.assemble(terms, addition, request, packed, FOREVER_MS)
        machine.authorize(self.shard, order, self.now_ms)

    def finish(self, which: int, step: Step, cost: int) -> None:
        needs, hold_id = self.terms().needs, self._pick(which)
        quantity = {"input_tokens": cost // 2} if cost % 2 and step is Step.capture else None
        entry = self.shard.hold(hold_id, self.now_ms)
        counted = entry[0].counted if entry is not None else []
        order = Finish(
            "acme",
            hold_id,
            step,
            cost if step is Step.capture else 0,
            finals_of([one.counted_as for one in counted], quantity),
            sources=needs.sources,
            versions=needs.versions,
            valid_from_ms=needs.valid_from_ms,
            valid_until_ms=needs.valid_until_ms,
            has_sources=True,
            body=records.encode(EndNote(quantity, cost)),
        )
        settle.finish(self.shard, order, self.now_ms)

    def _pick(self, which: int) -> str:
        return self.holds[which % len(self.holds)] if self.holds else "hold_none"

    def grant(self, amount: int, kind: GrantKind, expires_s: int | None, delay_s: int) -> None:
        if self.is_free:
            return
        given = Grant(
            self._id("grant"),
            kind,
            amount,
            10,
            self.now_ms,
            self.now_ms + 1_000 * delay_s,
            self.now_ms + 1_000 * expires_s if expires_s else None,
        )
        note = records.encode(AdminNote("", "", given))
        order = GrantOrder("acme", "USD", given, records.encode(given), note)
        machine.grant(self.shard, order, self.now_ms)
        self.grants.append(given)

    def void(self, which: int) -> None:
        if self.grants:
            grant_id = self.grants[which % len(self.grants)].id
            order = VoidOrder("acme", "USD", grant_id, records.encode(AdminNote("")))
            machine.void(self.shard, order, self.now_ms)

    def adjust(self, amount: int, target: int | None) -> None:
        if self.is_free:
            return
        sources, from_ms, until_ms = waterfall(self.profile(), None, self.now_ms)
        order = AdjustOrder(
            "acme",
            "USD",
            sources,
            versions_of(self.profile()),
            from_ms,
            until_ms,
            records.encode(AdminNote("")),
            "correction",
            amount,
            target,
        )
        machine.adjust(self.shard, order, self.now_ms)

    def change_plan(self, plan: PricePlan, credit_line: int) -> None:
        """Move the org to another plan and credit line, as an admin change does."""
        if not self.is_free:
            self.plan, self.credit_line = plan, credit_line
            self.org_version += 1
            for version in versions_of(self.profile()):
                self.shard.versions[version.kind, version.id] = version.expected

    def wait(self, seconds: int, *, sweeps: bool) -> None:
        self.now_ms += 1_000 * seconds
        if sweeps:
            while settle.sweep(self.shard, self.now_ms, 3):
                pass

    # What the ledger makes of it.

    def write(self) -> list[tuple[Record, list[Posting]]]:
        """Post every new record; return them with their postings."""
        fresh = self.shard.records[self.read :]
        self.read = len(self.shard.records)
        written = []
        for record in fresh:
            out, note = decoded(record)
            if isinstance(out, Outcome):
                assert isinstance(note, RequestRecord)
                postings = of_outcome(note, out)
            else:
                postings = of_ended(out) if isinstance(out, Ended) else of_moved(out)
            for posting in postings:
                self.debits[posting.debit] += posting.amount_micros
                self.credits[posting.credit] += posting.amount_micros
            written.append((record, postings))
        return written

    def booked(self) -> dict[Account, int]:
        """The balance that each hot account of the ledger explains."""
        return {
            account: balance_of(account.kind, self.debits[account], self.credits[account])
            for account in {*self.debits, *self.credits}
            if account.kind in HOT_KINDS
        }

    def hot(self) -> dict[Account, int]:
        """The balances the store holds, under the accounts they are booked on."""
        book = "~payg" if self.is_free else "acme"
        names = {
            FREE_HELD if self.is_free else HELD: "held",
            ADJUSTMENTS: ADJUSTMENTS,
            CREDIT_LINE: CREDIT_LINE,
            SHORTFALL: SHORTFALL,
        }
        found: dict[Account, int] = {}
        for (_, name), value in self.shard.cells.alive(self.now_ms).items():
            kind, _, ref = name.partition("/")
            if kind in ("g", "i"):
                found[Account(book, {"g": "grant", "i": "included"}[kind], ref, "USD")] = value
            elif name in names:
                found[Account(book, names[name], "", "USD")] = value
        return found


def decoded(record: Record) -> tuple[records.Out, records.Note | None]:
    """A record as the ledger's writer reads it."""
    out = records.encode(record.out)
    return records.decode(StreamRecord(0, 1, 0, record.kind, out, record.body, record.terms))
