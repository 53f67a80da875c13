"""Partial grants: the most of one unit that fits."""

from __future__ import annotations

import pytest

from gateway.core.partial_approval import units_that_fit
from gateway.core.pricing import Price
from tests.unit.core.making import GPT

PRICE = Price("default", "v1", "USD", GPT)
"""2.5 micros a token in, 10 a token out."""
ASKED = {"input_tokens": 1200, "output_tokens": 800}
"""3,000 micros in and 8,000 out."""


@pytest.mark.parametrize(
    ("at_least", "room_micros", "room_tokens", "units"),
    [
        # Money alone.
        (0, 11_000, None, 800),
        (0, 10**9, None, 800),  # never more than was asked
        (0, 10_999, None, 799),
        (0, 10_990, None, 799),
        (0, 10_989, None, 798),
        (0, 3_010, None, 1),
        (0, 3_000, None, 0),
        (0, 2_999, None, None),  # the input alone does not fit
        (64, 3_640, None, 64),
        (64, 3_639, None, None),  # less than at_least is of no use
        (800, 11_000, None, 800),
        (800, 10_999, None, None),
        (0, 0, None, None),
        # Tokens of rate limits, of all units together.
        (0, 10**9, 2_000, 800),
        (0, 10**9, 1_999, 799),
        (0, 10**9, 1_200, 0),
        (0, 10**9, 1_199, None),
        (64, 10**9, 1_264, 64),
        (64, 10**9, 1_263, None),
        # Both: the narrower one decides.
        (0, 10_000, 1_500, 300),
        (0, 4_000, 1_900, 100),
    ],
)
def test_the_most_that_fits(
    at_least: int, room_micros: int, room_tokens: int | None, units: int | None
) -> None:
    rooms = () if room_tokens is None else (((), room_tokens),)
    fits = units_that_fit(PRICE, ASKED, "output_tokens", at_least, room_micros, rooms)
    assert fits == units


def test_more_than_was_asked_cannot_be_the_least() -> None:
    assert units_that_fit(PRICE, ASKED, "output_tokens", 801, 10**9) is None


def test_what_costs_nothing_fits_whole() -> None:
    free = Price("default", "v1", "USD", {"units": 0})
    assert units_that_fit(free, {"units": 5}, "units", 1, 0) == 5


def test_rounding_may_let_one_more_fit() -> None:
    """0.5 micros round to 0, 1.5 to 2: the one rounding decides, not the price of each."""
    half = Price("default", "v1", "USD", {"units": 500_000})
    assert units_that_fit(half, {"units": 9}, "units", 0, 0) == 1
    assert units_that_fit(half, {"units": 9}, "units", 0, 1) == 2
    assert units_that_fit(half, {"units": 9}, "units", 0, 2) == 5


def test_a_discount_makes_more_fit() -> None:
    halved = Price("default", "v1", "USD", GPT, 5_000)
    assert units_that_fit(halved, ASKED, "output_tokens", 0, 3_500) == 400


def test_other_units_are_granted_whole() -> None:
    fits = units_that_fit(PRICE, ASKED, "input_tokens", 0, 8_250)
    assert fits == 100


def test_limits_of_units_bound_what_fits() -> None:
    rooms = ((("output_tokens",), 300), (("input_tokens", "output_tokens"), 500))
    asked = {"input_tokens": 300, "output_tokens": 800}
    assert units_that_fit(PRICE, asked, "output_tokens", 1, 10**9, rooms) == 200
    assert units_that_fit(PRICE, asked, "output_tokens", 1, 10**9, rooms[:1]) == 300
    assert units_that_fit(PRICE, asked, "output_tokens", 201, 10**9, rooms) is None
