"""V1 over the whole life of an account: whatever happens to it, in whatever order."""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.core.commands import Ended, Mode
from gateway.core.entities import Cap, GrantKind, Included, PricePlan
from gateway.core.holds import HoldStatus, Step
from gateway.core.sources import CREDIT_LINE
from tests.properties.life import PLAN, Life, decoded

EXAMPLES, STEPS = 1_000, 25
BARE = PricePlan("bare", "default")
RICH = PricePlan(
    "rich",
    "default",
    (Included("weekly", 900, "week"),),
    (Cap("day", "org", "day", 1_500, from_plan=True),),
)
amounts = st.one_of(st.integers(0, 400), st.sampled_from([0, 1, 299, 300, 301, 800, 3_000]))
which = st.integers(0, 20)


class Account(RuleBasedStateMachine):
    """Everything that can happen to an org's money; what must be true after each of it."""

    def __init__(self) -> None:
        super().__init__()
        self.life = Life(is_free=False, credit_line=0)
        self.ends: Counter[tuple[str, int, bool]] = Counter()

    @initialize(is_free=st.booleans(), credit_line=st.sampled_from([0, 250]))
    def begin(self, is_free: bool, credit_line: int) -> None:
        self.life = Life(is_free, credit_line)

    @rule(
        amount=amounts,
        mode=st.sampled_from([Mode.HOLD, Mode.HOLD, Mode.CAPTURE, Mode.DRY]),
        product=st.sampled_from(["gpt", "image"]),
        ttl_s=st.sampled_from([1, 60, 86_400]),
    )
    def authorize(self, amount: int, mode: Mode, product: str, ttl_s: int) -> None:
        self.life.authorize(amount, mode, product, ttl_s)

    @rule(hold=which, amount=amounts)
    def extend(self, hold: int, amount: int) -> None:
        self.life.extend(hold, amount)

    @rule(hold=which, cost=amounts)
    def capture(self, hold: int, cost: int) -> None:
        self.life.finish(hold, Step.capture, cost)

    @rule(hold=which)
    def release(self, hold: int) -> None:
        self.life.finish(hold, Step.release, 0)

    @rule(
        amount=st.integers(1, 2_000),
        kind=st.sampled_from(["paid", "promotional"]),
        expires_s=st.sampled_from([None, 1, 60, 86_400]),
        delay_s=st.sampled_from([0, 0, 60]),
    )
    def grant(self, amount: int, kind: GrantKind, expires_s: int | None, delay_s: int) -> None:
        self.life.grant(amount, kind, expires_s, delay_s)

    @rule(grant=which)
    def void(self, grant: int) -> None:
        self.life.void(grant)

    @rule(amount=st.integers(-1_000, 1_000), to=st.one_of(st.none(), st.integers(0, 1_000)))
    def adjust(self, amount: int, to: int | None) -> None:
        self.life.adjust(amount if to is None else 0, to)

    @rule(plan=st.sampled_from([PLAN, BARE, RICH]), credit_line=st.sampled_from([0, 250, 900]))
    def change_plan(self, plan: PricePlan, credit_line: int) -> None:
        # A credit line that is in use is never cut below what was drawn of it.
        drawn = -next((v for a, v in self.life.hot().items() if a.kind == CREDIT_LINE), 0)
        self.life.change_plan(plan, max(credit_line, drawn))

    @rule(
        seconds=st.sampled_from([0, 1, 30, 61, 3_600, 10_000, 86_400, 3 * 86_400]),
        sweeps=st.booleans(),
    )
    def wait(self, seconds: int, sweeps: bool) -> None:
        self.life.wait(seconds, sweeps=sweeps)

    @invariant()
    def each_transaction_sums_to_zero_and_the_ledger_explains_every_balance(self) -> None:
        life = self.life
        for record, postings in life.write():
            out, _ = decoded(record)
            if isinstance(out, Ended):
                self.ends[out.hold_id, out.status, out.late] += 1
            assert all(p.amount_micros > 0 and p.debit.book == p.credit.book for p in postings)
        booked, hot = life.booked(), life.hot()
        for account, value in hot.items():
            assert booked.get(account, 0) == value, account
        gone = {"included", "shortfall"} if life.is_free else {"included"}
        for account, value in booked.items():
            assert account.kind in gone or hot.get(account, 0) == value, account

    @invariant()
    def what_was_given_is_available_held_captured_expired_or_voided(self) -> None:
        gained: dict[str, int] = defaultdict(int)
        for account in {*self.life.debits, *self.life.credits}:
            gained[account.kind] += self.life.debits[account] - self.life.credits[account]
        came = sum(gained[k] for k in ("cash", "promotion", "correction", "shortfall"))
        left = -sum(gained[k] for k in ("grant", "included", "adjustments", "credit_line"))
        assert came == left - gained["held"] - gained["revenue"] - gained["breakage"]
        assert max(gained["held"], gained["revenue"], gained["breakage"]) <= 0

    @invariant()
    def a_hold_ends_once_or_is_captured_late_after_it_expired(self) -> None:
        per_hold: dict[str, list[tuple[int, bool]]] = defaultdict(list)
        for (hold, status, late), count in self.ends.items():
            per_hold[hold] += [(status, late)] * count
        for hold, ends in per_hold.items():
            assert len(ends) == 1 or sorted(ends) == [
                (int(HoldStatus.captured), True),
                (int(HoldStatus.expired), False),
            ], (hold, ends)


Account.TestCase.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None
)
TestAccount = Account.TestCase
