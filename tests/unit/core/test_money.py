"""Money is an integer, rounded half-even in one place."""

from __future__ import annotations

import pytest

from gateway.core.money import MAX_MICROS, MICROS_PER_UNIT, check_range, divide_half_even
from gateway.errors import CallerError


@pytest.mark.parametrize(
    ("numerator", "denominator", "nearest"),
    [
        (0, 10, 0),
        (4, 10, 0),
        (5, 10, 0),  # a tie goes to the even one
        (6, 10, 1),
        (14, 10, 1),
        (15, 10, 2),
        (16, 10, 2),
        (25, 10, 2),
        (35, 10, 4),
        (-4, 10, 0),
        (-5, 10, 0),
        (-6, 10, -1),
        (-15, 10, -2),
        (-25, 10, -2),
        (7, 3, 2),
        (8, 3, 3),
        (5, 1, 5),
        (10**40 + 1, 2, 5 * 10**39),  # beyond any float
        (10**40 + 3, 2, 5 * 10**39 + 2),
        (5 * 10**39 - 1, 10**40, 0),
        (5 * 10**39 + 1, 10**40, 1),
    ],
)
def test_a_division_rounds_to_the_nearest_and_ties_to_even(
    numerator: int, denominator: int, nearest: int
) -> None:
    assert divide_half_even(numerator, denominator) == nearest


def test_the_range_is_what_a_double_holds_exactly() -> None:
    assert MAX_MICROS == 9_007_199_254_740_991
    assert int(float(MAX_MICROS)) == MAX_MICROS
    assert int(float(MAX_MICROS + 2)) != MAX_MICROS + 2
    assert MICROS_PER_UNIT == 1_000_000


@pytest.mark.parametrize("amount", [0, 1, -1, MAX_MICROS, -MAX_MICROS])
def test_an_amount_within_the_range_passes(amount: int) -> None:
    assert check_range(amount, "the amount") == amount


@pytest.mark.parametrize("amount", [MAX_MICROS + 1, -MAX_MICROS - 1, 10**30])
def test_an_amount_beyond_the_range_is_refused_by_name(amount: int) -> None:
    with pytest.raises(CallerError) as refused:
        check_range(amount, "the quota", "/included/0/amount_micros")
    assert refused.value.code == "amount_out_of_range"
    assert refused.value.status == 422
    assert refused.value.pointer == "/included/0/amount_micros"
    assert "the quota" in refused.value.detail
