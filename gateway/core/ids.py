"""Ids of our own: a prefix, the time, the shard and random bits, in Crockford's base 32."""

from __future__ import annotations

from functools import lru_cache

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TIME_DIGITS, SHARD_DIGITS, CHANCE_DIGITS = 10, 2, 14
CHANCE_BITS = 5 * CHANCE_DIGITS
# 70 bits: of a thousand ids that one shard makes in one millisecond, two are equal with a chance of
# 4 in 10^16. An id is also the name of a hold's key, so two equal ones would share their money.
DECISION, HOLD, GRANT, EVENT = "dec_", "hold_", "grant_", "evt_"


_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]
"""All pairs of digits, by the number of ten bits that they write: two digits in one step."""


def _digits(number: int, count: int) -> str:
    pairs = [_PAIRS[(number >> shift) & 1023] for shift in range(5 * count - 10, -1, -10)]
    return "".join(pairs)


@lru_cache(maxsize=16)
def _time_digits(now_ms: int) -> str:
    """Write the time as digits; cached, because many ids are made in the same millisecond."""
    return _digits(now_ms, TIME_DIGITS)


def make(now_ms: int, shard: int, chance: int) -> str:
    """Make the body of an id: it sorts by time and carries its shard and 70 random bits.

    `now_ms` is Unix ms; `chance` are the random bits.
    """
    return _time_digits(now_ms) + _PAIRS[shard & 1023] + _digits(chance, CHANCE_DIGITS)


def shard_in(made_id: str) -> int | None:
    """Return the shard that an id carries, or None when the id is none of ours."""
    body = made_id.rpartition("_")[2]
    if len(body) != TIME_DIGITS + SHARD_DIGITS + CHANCE_DIGITS:
        return None
    high, low = (ALPHABET.find(c) for c in body[TIME_DIGITS : TIME_DIGITS + SHARD_DIGITS])
    if min(ALPHABET.find(c) for c in body) < 0:
        return None
    return high * 32 + low


def hold_of(decision_id: str) -> str:
    """Return the id of the hold that a decision made: the same body under another prefix."""
    return HOLD + decision_id.removeprefix(DECISION)


def decision_of(hold_id: str) -> str:
    """Return the id of the decision that made a hold."""
    return DECISION + hold_id.removeprefix(HOLD)
