"""Money is conserved: after every step of any life, the ledger explains what the store holds.

The reference machine lives; its records, packed and read as a ledger's writer would, become
postings; the sums of the postings are the machine's balances.
"""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.commands import (
    Mode,
    Reply,
    Status,
)
from gateway.core.holds import Step
from gateway.core.postings import (
    ACCOUNT_KINDS,
)
from gateway.core.sources import CREDIT_LINE
from gateway.wire import records
from tests.properties.life import Life

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
