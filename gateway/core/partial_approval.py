"""Partial approval: how many of one unit fit into the room there is."""

from __future__ import annotations

from gateway.core.limits import sum_of, tokens_of
from gateway.core.pricing import Price, cost_micros

Rooms = tuple[tuple[tuple[str, ...], int], ...]
"""Room that limits have left, by the units they count; () means tokens."""


def units_that_fit(
    price: Price,
    quantity: dict[str, int],
    unit: str,
    at_least: int,
    room_micros: int,
    rooms: Rooms = (),
) -> int | None:
    """Find the most of `unit`, from `at_least` to what was asked, that fits; None when none does.

    `quantity` is what was asked, by unit; `rooms` are what limits of units bear. Cost and sums of
    units never fall as the unit grows, so the most that fits is found by bisection.
    """

    def fits(count: int) -> bool:
        tried = {**quantity, unit: count}
        for units, room in rooms:
            wanted = sum_of(tried, units) if units else tokens_of(tried)
            if wanted > room:
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
