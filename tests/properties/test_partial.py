"""Partial grants against trying every number of units."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.limits import tokens_of
from gateway.core.partial_approval import units_that_fit
from gateway.core.pricing import Price, cost_micros

UNIT = "output_tokens"
PRICES = st.builds(
    Price,
    st.just("default"),
    st.just("v1"),
    st.just("USD"),
    st.fixed_dictionaries(
        {"input_tokens": st.integers(0, 3_000_000), UNIT: st.integers(0, 3_000_000)}
    ),
    st.sampled_from([0, 1, 3_333, 10_000]),
)
ROOMS = st.integers(0, 300)


def fits(price: Price, quantity: dict[str, int], room: int, tokens: int | None) -> bool:
    return cost_micros(price, quantity) <= room and (
        tokens is None or tokens_of(quantity) <= tokens
    )


@given(
    PRICES,
    st.integers(0, 60),
    st.integers(0, 60),
    st.integers(0, 70),
    ROOMS,
    st.one_of(st.none(), st.integers(0, 150)),
)
def test_the_most_that_fits_is_the_most_that_fits(
    price: Price, given_in: int, asked: int, at_least: int, room: int, tokens: int | None
) -> None:
    quantity = {"input_tokens": given_in, UNIT: asked}
    tried = [
        n for n in range(at_least, asked + 1) if fits(price, {**quantity, UNIT: n}, room, tokens)
    ]
    found = units_that_fit(
        price, quantity, UNIT, at_least, room, () if tokens is None else (((), tokens),)
    )
    assert found == max(tried, default=None)


@given(PRICES, st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**13))
def test_of_large_numbers_one_more_would_not_fit(
    price: Price, given_in: int, asked: int, room: int
) -> None:
    quantity = {"input_tokens": given_in, UNIT: asked}
    found = units_that_fit(price, quantity, UNIT, 0, room)
    if found is None:
        assert not fits(price, {**quantity, UNIT: 0}, room, None)
        return
    assert fits(price, {**quantity, UNIT: found}, room, None)
    assert found == asked or not fits(price, {**quantity, UNIT: found + 1}, room, None)


@given(PRICES, st.integers(0, 1000), st.integers(0, 1000), ROOMS, ROOMS)
def test_more_room_never_grants_less(
    price: Price, given_in: int, asked: int, room: int, more: int
) -> None:
    quantity = {"input_tokens": given_in, UNIT: asked}
    narrow = units_that_fit(price, quantity, UNIT, 0, room)
    wide = units_that_fit(price, quantity, UNIT, 0, room + more)
    assert narrow is None or (wide is not None and wide >= narrow)
