"""Money: an integer of micro-units of a currency, which is rounded in one place."""

from __future__ import annotations

from gateway.errors import CallerError

MAX_MICROS = 2**53 - 1
"""Bound of every amount and balance, either way: the largest integer a double holds exactly.

Numbers in Lua are doubles. Beyond this bound the store would round money and not notice.
"""

MICROS_PER_UNIT = 1_000_000


# Half-even, and once, at the end of a sum: rounding each part would make a quote differ from its
# parts, and rounding half up would favour one side by half a micro-unit a request.
def divide_half_even(numerator: int, denominator: int) -> int:
    """Divide to the nearest integer; a tie goes to the even one."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient % 2 == 1):
        return quotient + 1
    return quotient


def shown(amount_micros: int, currency: str) -> str:
    """Format an amount as a person reads it: `1.50 USD`.

    It is exact to the last micro-unit, and has at least two digits after the point.
    """
    whole, rest = divmod(abs(amount_micros), MICROS_PER_UNIT)
    digits = f"{rest:06d}".rstrip("0").ljust(2, "0")
    sign = "-" if amount_micros < 0 else ""
    return f"{sign}{whole:,}.{digits} {currency}".rstrip()


def check_range(amount_micros: int, what: str, pointer: str = "") -> int:
    """Check that an amount lies within ± (2^53 - 1), and return it.

    Raises CallerError `amount_out_of_range`, which names `what` and points to `pointer`.
    """
    if not -MAX_MICROS <= amount_micros <= MAX_MICROS:
        raise CallerError(
            "amount_out_of_range",
            f"{what} is {amount_micros} micro-units; it must lie within ±{MAX_MICROS}",
            pointer=pointer,
        )
    return amount_micros
