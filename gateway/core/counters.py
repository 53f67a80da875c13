"""The two shapes of state that the hot store knows: counters, and balances with a floor."""

from __future__ import annotations

from msgspec import Struct

WINDOW = 0
"""An amount in one fixed window: (used, held)."""
SLIDING = 1
"""A sliding window of two buckets: (count now, count in the bucket before)."""
GAUGE = 2
"""Number of open holds, or their money: (n, 0); the end of a hold takes its part out."""

NO_LIMIT = -1
"""The limit of a counter that counts and never refuses."""


MONEY, ONE, TOKENS, SLOT, SET_ASIDE, UNITS = range(6)
"""Measures of counters: each is the index of its share among a request's shares.

From UNITS on there is one share for each set of units that limits of the request count.
"""

Shares = tuple[int, ...]
"""Amounts that a request adds to counters, by measure."""


def shares_of(amount: int, tokens: int, *, settles: bool) -> Shares:
    """Compute what a request adds to counters but those of units.

    `amount` is micros. An immediate capture takes no slot and sets nothing aside.
    """
    return amount, 1, tokens, 0 if settles else 1, 0 if settles else amount


class Counter(Struct, frozen=True, gc=False):
    """A counter that a request must fit in, and which share of the request it measures.

    `period_ms` is when a WINDOW's key may expire (Unix ms; 0: never), and the width of a SLIDING
    one. The end of a hold takes the hold out of its `in_hold` counters. `index` names the set of
    the targets in use of a cap without target ("" for none). `units` are the units that it counts,
    joined to one text ("" where it counts none).
    """

    name: str
    shape: int
    measure: int
    limit: int = NO_LIMIT
    period_ms: int = 0
    in_hold: bool = False
    index: str = ""
    units: str = ""

    @property
    def counted_as(self) -> int | str:
        """The measure as a hold remembers it: an index means the same in every plan, units too."""
        return self.units or self.measure


class Source(Struct, frozen=True, array_like=True, gc=False):
    """A balance that a request may draw from, down to its floor.

    `expires_ms` is when a balance that a draw creates may be deleted (Unix ms; 0: never). A
    `perishable` balance whose key is gone has ended: nothing returns to it. What `is_given` was not
    paid for.
    """

    name: str
    floor: int = 0
    expires_ms: int = 0
    perishable: bool = False
    is_given: bool = False


# A sliding counter is two buckets, not a log of requests: it takes the same memory and one read
# whatever the traffic is. The price is an estimate. It takes the older bucket's amount as spread
# evenly. If all of it came at the bucket's end, a limit lets more pass than it says within one
# width, at most twice as much; if all came at its begin, it refuses early. The counter of a window
# of the calendar is exact.
def used(shape: int, first: int, second: int, period_ms: int, now_ms: int) -> float:
    """Compute what a counter holds against its limit.

    A SLIDING counter weighs its older bucket by the bucket's overlap with the window. The order of
    the floating-point operations is part of the meaning: Lua does the same.
    """
    if shape == SLIDING:
        left = period_ms - now_ms % period_ms
        return first + second * (left / period_ms)
    return first + second


def refuses(limit: int, measure: int, share: int, used_now: float) -> bool:
    """Return whether a counter refuses `share` more.

    A limit of 0 refuses everything, even a share of 0. A slot that is not taken cannot be refused,
    nor can units that a request does not use.
    """
    if limit == NO_LIMIT or (measure >= SLOT and share == 0):
        return False
    return limit == 0 or used_now + share > limit


def room(limit: int, used_now: float) -> int:
    """Compute how much more fits below a limit; never negative."""
    return max(0, int(limit - used_now))


def rolled(value: tuple[int, int, int] | None, period_ms: int, now_ms: int) -> tuple[int, int, int]:
    """Roll a SLIDING counter forward to now: (bucket, current, previous)."""
    bucket = now_ms // period_ms
    if value is None or value[0] < bucket - 1:
        return bucket, 0, 0
    if value[0] == bucket - 1:
        return bucket, 0, value[1]
    return value


def wait_ms(limit: int, amount: int, first: int, second: int, period_ms: int, now_ms: int) -> int:
    """Compute the ms until a SLIDING counter bears `amount`, if no other request comes.

    It is at most two widths.
    """
    left = period_ms - now_ms % period_ms
    spare = limit - amount
    if first <= spare and second > 0:
        wanted_left = period_ms * (spare - first) / second
        return max(0, int(left - wanted_left)) + 1
    if spare < 0 or first == 0:
        return left
    return left + max(0, int(period_ms - period_ms * spare / first)) + 1
