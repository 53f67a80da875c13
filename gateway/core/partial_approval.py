"""Partial approval: how many of one unit fit into the room there is."""

from __future__ import annotations

from gateway.core.pricing import Price, cost_micros, tokens_of


def units_that_fit(
    price: Price,
    quantity: dict[str, int],
    unit: str,
    at_least: int,
    room_micros: int,
    room_tokens: int | None,
) -> int | None:
    """Find the most of `unit`, from `at_least` to what was asked, that fits; None when none does.

    `quantity` is what was asked, by unit; `room_tokens` None is no limit. Cost and tokens never
    fall as the unit grows, so the most that fits is found by bisection.
    """

    def fits(count: int) -> bool:
        tried = {**quantity, unit: count}
        if room_tokens is not None and tokens_of(tried) > room_tokens:
            return False
        return cost_micros(price, tried) <= room_micros

    low, high = at_least, quantity[unit]
    if low > high or not fits(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low
