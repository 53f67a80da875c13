"""Plans: what a request costs, what it adds to each kind of counter, until when it may run."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gateway.core import plan
from gateway.core.commands import Idempotency, Mode
from gateway.core.counters import (
    GAUGE,
    MONEY,
    NO_LIMIT,
    ONE,
    SET_ASIDE,
    SLOT,
    TOKENS,
    UNITS,
    refuses,
)
from gateway.core.entities import Cap, Lineage
from gateway.core.limits import LIMIT_KINDS
from gateway.core.terms import compile_terms
from tests.unit.core.making import NOON, lineage, lineage_terms, profile

TERMS = compile_terms(profile(), lineage_terms(), "gpt", NOON)
UNPRICED = compile_terms(profile(), lineage_terms(), "new", NOON)
ASKED = {"input_tokens": 1200, "output_tokens": 800}


def request(
    quantity: dict[str, int] | None = None,
    amount: int | None = None,
    mode: Mode = Mode.HOLD,
    *,
    product: str = "gpt",
    of: Lineage | None = None,
    settles: bool = False,
    extends: bool = False,
) -> plan.Request:
    return plan.Request(
        of or lineage(),
        product,
        quantity,
        amount,
        mode,
        300_000,
        {"country": "DE"},
        "cred_1",
        extends,
        settles,
    )


def test_a_quantity_is_quoted_and_an_amount_is_taken_as_it_is() -> None:
    assert plan.quote(TERMS, request(ASKED)) == 11_000
    assert plan.quote(TERMS, request(amount=70)) == 70
    assert plan.quote(UNPRICED, request(amount=70)) == 70
    assert plan.quote(TERMS, request(amount=0)) == 0


def test_what_nothing_prices_is_quoted_at_zero_and_refused() -> None:
    asked_for = request(ASKED, product="new")
    assert plan.quote(UNPRICED, asked_for) == 0
    asked = plan.make(UNPRICED, asked_for, "dec_1", "hold_1", 0)
    assert [(r.reason.name, r.id) for r in asked.refusals] == [("product_unpriced", "new")]
    assert asked.is_refused


def test_an_amount_needs_no_price() -> None:
    asked = plan.make(UNPRICED, request(amount=70, product="new"), "dec_1", "hold_1", 70)
    assert not asked.is_refused


@pytest.mark.parametrize(
    ("settles", "mode", "shares"),
    [
        (False, Mode.HOLD, {MONEY: 11_000, ONE: 1, TOKENS: 2_000, SLOT: 1, SET_ASIDE: 11_000}),
        (True, Mode.CAPTURE, {MONEY: 11_000, ONE: 1, TOKENS: 2_000, SLOT: 0, SET_ASIDE: 0}),
        (True, Mode.HOLD, {MONEY: 11_000, ONE: 1, TOKENS: 2_000, SLOT: 0, SET_ASIDE: 11_000}),
    ],
    ids=["a hold", "a capture", "a capture that is held first"],
)
def test_what_a_request_adds_by_what_a_counter_measures(
    settles: bool, mode: Mode, shares: dict[int, int]
) -> None:
    made = request(ASKED, settles=settles, mode=mode)
    asked = plan.make(TERMS, made, "dec_1", "hold_1", 11_000)
    assert dict(enumerate(asked.shares)) == shares
    assert asked.settles_itself is (settles and mode is Mode.HOLD)


def test_an_amount_says_nothing_of_tokens() -> None:
    asked = plan.make(TERMS, request(amount=70), "dec_1", "hold_1", 70)
    assert asked.shares == (70, 1, 0, 1, 70)


def test_every_kind_of_limit_measures_something_of_its_own() -> None:
    measures = {name: row.measure for name, row in LIMIT_KINDS.items()}
    assert measures == {
        "cap": MONEY, "rolling_cap": MONEY, "unit_cap": UNITS, "rolling_unit_cap": UNITS,
        "requests": ONE, "tokens": TOKENS, "units": UNITS, "concurrent": SLOT,
    }  # fmt: skip
    gauge = TERMS.needs.counters[-1]
    assert (gauge.shape, gauge.measure, gauge.limit) == (GAUGE, SET_ASIDE, NO_LIMIT)


@pytest.mark.parametrize(
    ("limit", "measure", "share", "used_now", "is_refused"),
    [
        (100, MONEY, 10, 90, False),
        (100, MONEY, 10, 91, True),
        (100, MONEY, 11, 90, True),
        (100, MONEY, 0, 100, False),
        (100, MONEY, 0, 101, True),  # over already: nothing more, not even nothing
        (100, TOKENS, 1, 99.5, True),
        (100, TOKENS, 1, 99.0, False),
        # A limit of 0 refuses all, even nothing.
        (0, MONEY, 0, 0, True),
        (0, ONE, 1, 0, True),
        (0, TOKENS, 0, 0, True),
        (0, SLOT, 1, 0, True),
        # No limit refuses nothing.
        (NO_LIMIT, MONEY, 2**53 - 1, 2**53 - 1, False),
        # A slot that is not taken cannot be refused.
        (2, SLOT, 0, 2, False),
        (0, SLOT, 0, 0, False),
        (2, SLOT, 1, 1, False),
        (2, SLOT, 1, 2, True),
    ],
)
def test_when_a_counter_refuses(
    limit: int, measure: int, share: int, used_now: float, is_refused: bool
) -> None:
    assert refuses(limit, measure, share, used_now) == is_refused


def test_the_record_says_who_asked_for_what_and_the_plan_carries_it_to_the_store() -> None:
    asked_for = request(ASKED, of=lineage(run="run-1"))
    asked = plan.make(TERMS, asked_for, "dec_1", "hold_1", 11_000, is_partial=True)
    assert (asked.id, asked.hold_id, asked.run) == ("dec_1", "hold_1", "run-1")
    assert (asked.quantity, asked.amount, asked.mode) == (ASKED, 11_000, Mode.HOLD)
    assert (asked.context, asked.caller, asked.is_partial) == ({"country": "DE"}, "cred_1", True)
    kept = Idempotency("k/1", b"0" * 16, 600_000)
    made = plan.assemble(TERMS, asked, asked_for, b"asked", NOON + 50, idempotency=kept)
    assert made.needs is TERMS.needs, "what requests share is not copied"
    assert (made.hold_id, made.amount, made.shares) == ("hold_1", 11_000, asked.shares)
    assert (made.not_after_ms, made.hold_ttl_ms) == (NOON + 50, 300_000)
    assert made.asked == b"asked"
    assert (made.mode, made.refused, made.probe, made.extends) == (Mode.HOLD, False, False, False)
    assert made.idempotency == kept


def test_a_refused_plan_goes_to_the_store_but_asks_for_no_room() -> None:
    """Every decision makes the store call; no smaller request would pass."""
    asked_for = request(ASKED, product="new")
    asked = plan.make(UNPRICED, asked_for, "dec_1", "hold_1", 0)
    made = plan.assemble(UNPRICED, asked, asked_for, b"", NOON, probe=True)
    assert (made.refused, made.probe) == (True, False)


def test_a_plan_of_suspended_terms_is_refused() -> None:
    suspended = compile_terms(profile(status="suspended"), lineage_terms(), "gpt", NOON)
    asked = plan.make(suspended, request(amount=1), "dec_1", "hold_1", 1)
    assert asked.refusals == ()
    assert plan.assemble(suspended, asked, request(amount=1), b"", NOON).refused


def test_a_hold_remembers_what_settling_it_needs_and_no_more() -> None:
    """Whose it is, what was asked, at which price."""
    terms = compile_terms(
        profile(status="suspended", caps=(Cap("c", "org", "day", 1),)), lineage_terms(), "gpt", NOON
    )
    assert terms.brief.price == terms.asked.price
    assert (
        replace(
            terms.brief,
            refusals=terms.asked.refusals,
            limits=terms.asked.limits,
            sources=terms.asked.sources,
            versions=terms.asked.versions,
            customer=terms.asked.customer,
        )
        == terms.asked
    )
    assert (terms.brief.limits, terms.brief.sources) == ((), ())


def test_record_and_hold_begin_with_the_terms_and_go_on_with_what_was_asked() -> None:
    made = replace(TERMS.needs, record=b"terms:", brief=b"brief:")
    found = plan.Plan(made, "hold_1", 1, (1, 1, 0, 1, 1), NOON, 1_000, b"asked")
    assert (found.body, found.note) == (b"terms:asked", b"brief:asked")
