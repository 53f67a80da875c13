"""Records become postings: each kind of record balances, and says where the money went."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.core import plan
from gateway.core.commands import Ended, Mode, Moved, Outcome, Part
from gateway.core.entities import Grant, Included
from gateway.core.funding import included_name
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
from gateway.core.request_record import RequestRecord
from gateway.core.terms import compile_terms
from tests.unit.core.making import NOON, lineage, lineage_terms, ms, profile

DAY = ms("2026-11-22T00:00Z")
QUOTA = Included("daily", 100, "day")
QUOTA_NAME = included_name(QUOTA, DAY)
Told = dict[tuple[str, str], int]
"""(account, account) → amount, from the credited to the debited one."""


def told(postings: list[Posting]) -> Told:
    """Postings as `debited ← credited`, in short."""

    def short(account: Account) -> str:
        return f"{account.kind}:{account.ref}" if account.ref else account.kind

    return {(short(p.debit), short(p.credit)): p.amount_micros for p in postings}


def sums(postings: list[Posting]) -> Counter[str]:
    """What each kind of account gained: debits less credits."""
    found: Counter[str] = Counter()
    for posting in postings:
        found[posting.debit.kind] += posting.amount_micros
        found[posting.credit.kind] -= posting.amount_micros
    return found


def check(postings: list[Posting], book: str = "acme", currency: str = "USD") -> None:
    """Every transaction sums to zero, on one book, in one currency, of accounts we know."""
    assert sum(sums(postings).values()) == 0
    for posting in postings:
        assert posting.amount_micros > 0
        for account in (posting.debit, posting.credit):
            assert (account.book, account.currency) == (book, currency)
            assert account.kind in ACCOUNT_KINDS


# An allowed request.


def asked(mode: Mode = Mode.HOLD, *, version: int = 1) -> RequestRecord:
    grants = (Grant("grant_1", "paid", 9_000, 10, 1),) if version else ()
    who = profile(version=version, plan={"included": (QUOTA,)}, grants=grants, credit_line=500)
    terms = compile_terms(who, lineage_terms(), "gpt", NOON)
    settles = mode is Mode.CAPTURE
    request = plan.Request(lineage(), "gpt", None, 1, mode, 1_000, {}, settles=settles)
    return plan.make(terms, request, "dec_1", "hold_1", 1)


def outcome(*draws: int) -> Outcome:
    return Outcome(bool(draws), NOON, [0, 0], [], list(draws), [])


@pytest.mark.parametrize(("mode", "goes_to"), [(Mode.HOLD, "held"), (Mode.CAPTURE, "revenue")])
def test_what_a_request_draws_is_held_or_is_revenue_at_once(mode: Mode, goes_to: str) -> None:
    postings = of_outcome(asked(mode), outcome(100, 9_000, 30, 400))
    check(postings)
    assert told(postings) == {
        (f"included:daily/{DAY}", goes_to): 100,
        ("grant:grant_1", goes_to): 9_000,
        ("adjustments", goes_to): 30,
        ("credit_line", goes_to): 400,
    }


def test_what_draws_nothing_posts_nothing() -> None:
    assert of_outcome(asked(), outcome(0, 0, 0, 0)) == []
    assert of_outcome(asked(), outcome(0, 0, 7, 0))[0].debit.kind == "adjustments"


@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.CAPTURE])
def test_a_refused_request_posts_nothing(mode: Mode) -> None:
    assert of_outcome(asked(mode), outcome()) == []


def test_free_use_is_booked_on_its_plan_s_collective_account() -> None:
    postings = of_outcome(asked(version=0), outcome(70))
    check(postings, book="~payg")
    assert told(postings) == {(f"included:daily/{DAY}", "held"): 70}


# The end of a hold.


def ended(
    *,
    held: int = 100,
    captured: int = 0,
    released: int = 0,
    shortfall: int = 0,
    kept: tuple[Part, ...] = (),
    back: tuple[Part, ...] = (),
    excess: tuple[Part, ...] = (),
    book: str = "acme",
) -> Ended:
    return Ended(
        NOON, "hold_1", 1, "acme", book, "USD", "gpt", held, captured, released, shortfall, False,
        list(kept), list(back), list(excess),
    )  # fmt: skip


ENDS: list[tuple[str, Ended, Told]] = [
    (
        "captured whole",
        ended(captured=100, kept=(Part(QUOTA_NAME, 60), Part("g/grant_1", 40))),
        {("held", "revenue"): 40},  # two postings between the same two accounts
    ),
    (
        "released",
        ended(released=100, back=(Part(QUOTA_NAME, 60), Part("credit_line", 40))),
        {("held", f"included:daily/{DAY}"): 60, ("held", "credit_line"): 40},
    ),
    (
        "captured in part",
        ended(captured=70, released=30, kept=(Part("g/grant_1", 70),),
              back=(Part("g/grant_1", 30),)),
        {("held", "revenue"): 70, ("held", "grant:grant_1"): 30},
    ),
    (
        "captured for nothing",
        ended(released=100, back=(Part("adjustments", 100),)),
        {("held", "adjustments"): 100},
    ),
    (
        "captured above the hold",
        ended(captured=130, kept=(Part("g/grant_1", 100),), excess=(Part("adjustments", 30),)),
        {("held", "revenue"): 100, ("adjustments", "revenue"): 30},
    ),
    (
        "captured above all funds",
        ended(captured=110, shortfall=20, kept=(Part("g/grant_1", 100),),
              excess=(Part("adjustments", 10),)),
        {("held", "revenue"): 100, ("adjustments", "revenue"): 10, ("shortfall", "revenue"): 20},
    ),
    (
        "captured late, when nothing was held any more",
        ended(held=0, captured=30, shortfall=70, excess=(Part("g/grant_2", 30),)),
        {("grant:grant_2", "revenue"): 30, ("shortfall", "revenue"): 70},
    ),
    (
        "given back to a grant that has ended: it ends with it",
        ended(released=100, back=(Part("g/grant_1", 100, gone=True),)),
        {("held", "breakage"): 100},
    ),
    (
        "given back to a quota whose period is over: it is as if it was never used",
        ended(released=100, back=(Part(QUOTA_NAME, 100, gone=True),)),
        {("held", f"included:daily/{DAY}"): 100},
    ),
    ("a hold of nothing", ended(held=0), {}),
]  # fmt: skip


@pytest.mark.parametrize(("claim", "end", "wanted"), ENDS, ids=[claim for claim, _, _ in ENDS])
def test_how_a_hold_ends(claim: str, end: Ended, wanted: Told) -> None:
    postings = of_ended(end)
    check(postings)
    assert told(postings) == wanted
    gained = sums(postings)
    assert gained["held"] == end.held, "nothing stays on hold"
    assert -gained["revenue"] == end.captured + end.shortfall, "revenue is the cost"
    assert gained["shortfall"] == end.shortfall


def test_the_shortfall_of_a_free_user_is_its_plan_s() -> None:
    postings = of_ended(ended(held=0, shortfall=70, book="~free"))
    check(postings, book="~free")
    assert told(postings) == {("shortfall", "revenue"): 70}


# Grants, voids, lapses and adjustments.


def moved(
    kind: str,
    amount: int,
    *,
    settled: int = 0,
    shortfall: int = 0,
    draws: tuple[Part, ...] = (),
) -> Moved:
    return Moved(NOON, kind, "grant_1", "acme", "USD", amount, settled, shortfall, 0, list(draws))


MOVES: list[tuple[str, Moved, Told]] = [
    ("a paid grant", moved("paid", 100), {("cash", "grant:grant_1"): 100}),
    ("a promotional grant", moved("promotional", 100), {("promotion", "grant:grant_1"): 100}),
    (
        "a paid grant that settles a shortfall first",
        moved("paid", 100, settled=30),
        {("cash", "grant:grant_1"): 70, ("cash", "shortfall"): 30},
    ),
    (
        "a paid grant that only settles",
        moved("paid", 100, settled=100),
        {("cash", "shortfall"): 100},
    ),
    ("a void", moved("void", -40), {("grant:grant_1", "breakage"): 40}),
    ("a lapse", moved("lapse", -40), {("grant:grant_1", "breakage"): 40}),
    ("a lapse of nothing", moved("lapse", 0), {}),
    ("a refund", moved("refund", 50), {("refund", "adjustments"): 50}),
    ("a credit note", moved("credit_note", 50), {("credit_note", "adjustments"): 50}),
    ("a correction upwards", moved("correction", 50), {("correction", "adjustments"): 50}),
    ("a correction by nothing", moved("correction", 0), {}),
    (
        "a correction downwards",
        moved("correction", -50, draws=(Part(QUOTA_NAME, 20), Part("g/grant_2", 30))),
        {(f"included:daily/{DAY}", "correction"): 20, ("grant:grant_2", "correction"): 30},
    ),
    (
        "a correction below what there is",
        moved("correction", -50, shortfall=15, draws=(Part("credit_line", 35),)),
        {("credit_line", "correction"): 35, ("shortfall", "correction"): 15},
    ),
]


@pytest.mark.parametrize(("claim", "move", "wanted"), MOVES, ids=[claim for claim, _, _ in MOVES])
def test_how_funds_move(claim: str, move: Moved, wanted: Told) -> None:
    postings = of_moved(move)
    check(postings)
    assert told(postings) == wanted
    gained = sums(postings)
    funds = -sum(gained[k] for k in ("grant", "included", "adjustments", "credit_line"))
    debt = gained["shortfall"]
    assert funds - debt == move.amount, "what the org gained, debts included"


# Balances.


@pytest.mark.parametrize(
    ("kind", "debits", "credits", "balance"),
    [
        ("grant", 30, 100, 70),
        ("adjustments", 0, 50, 50),
        ("held", 40, 100, 60),
        ("included", 100, 30, -70),  # used quota is below zero, as in the store
        ("credit_line", 100, 0, -100),
        ("shortfall", 70, 30, 40),  # what an org owes us
    ],
)
def test_the_balance_that_an_account_explains(
    kind: str, debits: int, credits: int, balance: int
) -> None:
    assert balance_of(kind, debits, credits) == balance


def test_every_hot_account_is_an_account() -> None:
    assert set(HOT_KINDS) <= set(ACCOUNT_KINDS)
    assert all(ACCOUNT_KINDS.values())
