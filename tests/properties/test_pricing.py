"""Prices against an oracle of exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.core.limits import tokens_of
from gateway.core.money import MAX_MICROS, divide_half_even
from gateway.core.pricing import Price, cost_micros
from gateway.errors import CallerError

UNITS = ("input_tokens", "output_tokens", "images", "seconds")
PER_MILLION = st.one_of(
    st.integers(0, MAX_MICROS),
    st.sampled_from([0, 1, 499_999, 500_000, 500_001, 1_000_000, 2_500_000, 40_000_000_000]),
)
COUNTS = st.one_of(st.integers(0, 10_000), st.integers(0, MAX_MICROS))
QUANTITIES = st.dictionaries(st.sampled_from(UNITS), COUNTS)
PRICES = st.builds(
    Price,
    st.just("default"),
    st.just("v1"),
    st.just("USD"),
    st.fixed_dictionaries(dict.fromkeys(UNITS, PER_MILLION)),
    st.one_of(st.integers(0, 10_000), st.sampled_from([0, 5_000, 10_000])),
)
SMALL = st.dictionaries(st.sampled_from(UNITS), st.integers(0, 10_000))
CHEAP = st.builds(
    Price,
    st.just("default"),
    st.just("v1"),
    st.just("USD"),
    st.fixed_dictionaries({unit: st.integers(0, 40_000_000) for unit in UNITS}),
    st.integers(0, 10_000),
)


def exact(price: Price, quantity: dict[str, int]) -> Fraction:
    total = sum(count * price.units[unit] for unit, count in quantity.items())
    return Fraction(total * (10_000 - price.discount_bps), 10_000 * 1_000_000)


@given(st.integers(), st.integers(1, 10**20))
def test_division_is_python_s_half_even_rounding_of_the_fraction(
    numerator: int, denominator: int
) -> None:
    assert divide_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**15))
def test_a_tie_goes_to_the_even_one(whole: int, half: int) -> None:
    found = divide_half_even((2 * whole + 1) * half, 2 * half)
    assert found % 2 == 0
    assert found in (whole, whole + 1)


@given(PRICES, QUANTITIES)
def test_a_quote_is_the_exact_sum_rounded_once(price: Price, quantity: dict[str, int]) -> None:
    rounded = round(exact(price, quantity))
    if rounded > MAX_MICROS:
        with pytest.raises(CallerError, match="quote"):
            cost_micros(price, quantity)
    else:
        assert cost_micros(price, quantity) == rounded


@given(CHEAP, SMALL)
def test_the_order_of_the_lines_does_not_matter(price: Price, quantity: dict[str, int]) -> None:
    turned = dict(reversed(quantity.items()))
    assert cost_micros(price, turned) == cost_micros(price, quantity)


@given(CHEAP, SMALL, st.sampled_from(UNITS), st.integers(1, 10_000))
def test_more_of_a_unit_never_costs_less(
    price: Price, quantity: dict[str, int], unit: str, more: int
) -> None:
    larger = {**quantity, unit: quantity.get(unit, 0) + more}
    assert cost_micros(price, larger) >= cost_micros(price, quantity)


@given(CHEAP, SMALL, SMALL)
def test_two_requests_cost_what_one_of_both_costs_but_for_one_rounding_each(
    price: Price, first: dict[str, int], second: dict[str, int]
) -> None:
    both = {unit: first.get(unit, 0) + second.get(unit, 0) for unit in UNITS}
    apart = cost_micros(price, first) + cost_micros(price, second)
    assert abs(cost_micros(price, both) - apart) <= 1


@given(CHEAP, SMALL, st.integers(0, 10_000))
def test_a_larger_discount_never_costs_more(
    price: Price, quantity: dict[str, int], discount_bps: int
) -> None:
    assume(discount_bps >= price.discount_bps)
    cheaper = Price(price.card, price.version, price.currency, price.units, discount_bps)
    assert cost_micros(cheaper, quantity) <= cost_micros(price, quantity)


@given(CHEAP, SMALL, st.sampled_from(["", "tokens", "Images", "image", "seconds "]))
def test_a_unit_without_a_price_is_never_free(
    price: Price, quantity: dict[str, int], unit: str
) -> None:
    with pytest.raises(CallerError, match="unknown unit"):
        cost_micros(price, {**quantity, unit: 0})


@given(QUANTITIES)
def test_tokens_are_counted_whole(quantity: dict[str, int]) -> None:
    assert tokens_of(quantity) == sum(quantity.get(u, 0) for u in UNITS[:2])
