"""Money is conserved: after every step of any life, the ledger explains what the store holds.

The reference machine lives; its records, packed and read as a ledger's writer would, become
postings; the sums of the postings are the machine's balances.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import machine, plan, settle
from gateway.core.caps import FREE_HELD, HELD
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
from gateway.core.funding import ADJUSTMENTS, CREDIT_LINE, SHORTFALL, waterfall
from gateway.core.holds import Step
from gateway.core.orders import (
    AdjustOrder,
    Ended,
    Finish,
    GrantOrder,
    Mode,
    Outcome,
    Reply,
    Status,
    VoidOrder,
)
from gateway.core.postings import (
    ACCOUNT_KINDS,
    HOT_KINDS,
    Account,
    Posting,
    balance_of,
    of_ended,
    of_moved,
    of_outcome,
)
from gateway.core.record import AdminNote, Asked, EndNote
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
WHO = lineage(user="u_1", run="run-1")


@dataclass
class Life:
    """One org in the reference machine, and a ledger that reads its records."""

    is_free: bool
    credit_line: int
    now_ms: int = NOON
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
                "payg",
                credit_line_micros=self.credit_line,
                version=0 if self.is_free else 1,
                created_ms=CREATED,
            ),
            PLAN,
            CARD,
            grants=tuple(g for g in self.grants if g.id in known),
            grants_version=self.shard.versions.get(("grants", "acme"), 0),
            caps=(Cap("daily", "user", "day", 5_000), Cap("seen", "org", "hour", 10, "soft")),
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
        request = plan.Request(WHO, product, None, amount, mode, 1_000 * ttl_s, {}, settles=settles)
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
        needs = self.terms().needs
        order = Finish(
            "acme",
            self._pick(which),
            step,
            cost if step is Step.capture else 0,
            sources=needs.sources,
            versions=needs.versions,
            valid_from_ms=needs.valid_from_ms,
            valid_until_ms=needs.valid_until_ms,
            has_sources=True,
            body=records.encode(EndNote(None, cost)),
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
                assert isinstance(note, Asked)
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


amounts = st.one_of(st.integers(0, 400), st.sampled_from([0, 1, 299, 300, 301, 800, 3_000]))
seconds = st.sampled_from([0, 1, 30, 61, 3_600, 10_000, 86_400, 3 * 86_400])
which = st.integers(0, 20)
STEPS = st.one_of(
    st.tuples(
        st.just("authorize"),
        amounts,
        st.sampled_from([Mode.HOLD, Mode.HOLD, Mode.CAPTURE, Mode.DRY]),
        st.sampled_from(["gpt", "image"]),
        st.sampled_from([1, 60, 86_400]),
    ),
    st.tuples(st.just("extend"), which, amounts),
    st.tuples(
        st.just("finish"), which, st.sampled_from([Step.capture, Step.capture, Step.release]),
        amounts,
    ),
    st.tuples(
        st.just("grant"),
        st.integers(1, 2_000),
        st.sampled_from(["paid", "promotional"]),
        st.sampled_from([None, 1, 60, 86_400]),
        st.sampled_from([0, 0, 60]),
    ),
    st.tuples(st.just("void"), which),
    st.tuples(st.just("adjust"), st.integers(-1_000, 1_000), st.none()),
    st.tuples(st.just("adjust"), st.just(0), st.integers(0, 1_000)),
    st.tuples(st.just("wait"), seconds, st.booleans()),
)  # fmt: skip
LIVES = st.tuples(st.booleans(), st.sampled_from([0, 250]), st.lists(STEPS, max_size=40))


def live(life: Life, step: tuple[object, ...]) -> Reply | None:
    name, *parts = step
    if name == "wait":
        life.wait(parts[0], sweeps=bool(parts[1]))  # type: ignore[arg-type]  # by the strategy
        return None
    return getattr(life, str(name))(*parts)  # type: ignore[no-any-return]  # by its name


def only_booked(life: Life) -> set[str]:
    """What the ledger keeps longer than the store.

    A quota's balance goes with its period, and nobody will collect a free user's debt.
    """
    return {"included", "shortfall"} if life.is_free else {"included"}


@settings(max_examples=200, deadline=None)
@given(LIVES)
def test_the_ledger_explains_every_hot_balance_after_every_step(
    lived: tuple[bool, int, list[tuple[object, ...]]],
) -> None:
    is_free, credit_line, steps = lived
    life = Life(is_free, credit_line)
    for step in steps:
        live(life, step)
        for _, postings in life.write():
            for posting in postings:
                assert posting.amount_micros > 0
                assert {posting.debit.kind, posting.credit.kind} <= set(ACCOUNT_KINDS)
                assert posting.debit.book == posting.credit.book
        booked, hot = life.booked(), life.hot()
        for account, value in hot.items():
            assert booked.get(account, 0) == value, (step, account)
        for account, value in booked.items():
            if account.kind not in only_booked(life):
                assert hot.get(account, 0) == value, (step, account)
    assert sum(life.debits.values()) == sum(life.credits.values())


@settings(max_examples=100, deadline=None)
@given(LIVES)
def test_what_was_given_is_where_it_can_be_found(
    lived: tuple[bool, int, list[tuple[object, ...]]],
) -> None:
    """Granted + adjusted + owed = left + held + captured + ended, to the micro-unit."""
    is_free, credit_line, steps = lived
    life = Life(is_free, credit_line)
    for step in steps:
        live(life, step)
        life.write()
        gained: dict[str, int] = defaultdict(int)
        for account in {*life.debits, *life.credits}:
            gained[account.kind] += life.debits[account] - life.credits[account]
        came = sum(gained[k] for k in ("cash", "promotion", "correction", "shortfall"))
        left = -sum(gained[k] for k in ("grant", "included", "adjustments", "credit_line"))
        assert came == left - gained["held"] - gained["revenue"] - gained["breakage"]
        assert gained["held"] <= 0 and gained["revenue"] <= 0 and gained["breakage"] <= 0
        assert gained["shortfall"] >= 0


@settings(max_examples=100, deadline=None)
@given(LIVES)
def test_no_balance_falls_below_its_floor(
    lived: tuple[bool, int, list[tuple[object, ...]]],
) -> None:
    is_free, credit_line, steps = lived
    life = Life(is_free, credit_line)
    for step in steps:
        live(life, step)
        for account, value in life.hot().items():
            floors = {"included": -500, CREDIT_LINE: -credit_line}
            if account.ref.startswith("daily"):
                floors["included"] = -300
            assert value >= floors.get(account.kind, 0), (step, account)


@settings(max_examples=100, deadline=None)
@given(LIVES, amounts, st.sampled_from([Mode.HOLD, Mode.CAPTURE]))
def test_a_denied_request_changes_nothing_but_its_own_record_and_signals(
    lived: tuple[bool, int, list[tuple[object, ...]]], amount: int, mode: Mode
) -> None:
    is_free, credit_line, steps = lived
    life = Life(is_free, credit_line)
    for step in steps:
        live(life, step)

    def picture() -> tuple[object, ...]:
        alive = life.shard.cells.alive(life.now_ms)
        money = {key: value for key, value in alive.items() if not key[1].startswith("s/")}
        holds = {name: records.encode(entry[0]) for name, entry in life.shard.holds.items()}  # type: ignore[arg-type]  # a struct like any other
        return money, holds, dict(life.shard.due), dict(life.shard.versions)

    before, written = picture(), len(life.shard.records)
    reply = life.authorize(100_000 + amount, mode, "gpt", 60)
    assert reply.status is Status.DONE and reply.outcome is not None
    assert not reply.outcome.allowed
    assert picture() == before
    assert len(life.shard.records) == written + 1
    assert life.write()[-1][1] == []
