"""What is known of a request before the store is asked, as rules read it: one flat mapping.

A pure function of what the record says, so that a rehearsal on records sees what was seen live.
Names are those of `rules.schema`; what is not there is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache

from gateway.core.counters import SLOT
from gateway.core.orders import Outcome
from gateway.core.pricing import tokens_of
from gateway.core.record import Asked, AskedTerms
from gateway.core.windows import MINUTE_MS, zone

QUARTER_MS = 15 * MINUTE_MS
"""Clocks of all timezones differ from UTC by whole quarters of an hour."""


def facts_of(asked: Asked, at_ms: int) -> dict[str, str | int | bool]:
    """The facts of a request at a moment (Unix ms). Amounts are micros, durations ms."""
    terms = asked.terms
    facts: dict[str, str | int | bool] = {
        "amount": asked.amount,
        "product": terms.product,
        # Whatever settles at once takes no slot, a dry run of it neither.
        "captures": not asked.shares[SLOT],
        "credential": asked.caller,
        "org.id": terms.org,
    }
    if asked.quantity is not None:
        facts["tokens"] = tokens_of(asked.quantity)
    for name, value in (
        ("run", asked.run),
        ("project.id", terms.project),
        ("user.id", terms.user),
        ("key.id", terms.key),
    ):
        if value:
            facts[name] = value
    for name, known in asked.context.items():
        facts[f"context.{name}"] = known
    customer = terms.customer
    if customer is not None:
        facts["org.plan"] = customer.plan
        facts["org.is_free"] = terms.book != terms.org
        if terms.book == terms.org:
            facts["org.type"] = customer.type
            facts["org.age"] = at_ms - customer.created_ms
        facts["hour"], facts["weekday"] = _local(customer.timezone, at_ms // QUARTER_MS)
    return facts


COUNTED = ("1m", "1h", "1d")
"""The windows that signals are counted over, as rules write them."""


def _names(*entities: str) -> tuple[str, ...]:
    return tuple(
        f'velocity.{kind}("{entity}", {window})'
        for entity in entities
        for window in COUNTED
        for kind in ("count", "cost")
    )


_NAMES = {
    (False, False): _names("org"),
    (True, False): _names("org", "user"),
    (False, True): _names("org", "key"),
    (True, True): _names("org", "user", "key"),
}
"""By whether there is a user and a key: what each number of an outcome's signals is read as."""
SIGNALS = frozenset(_NAMES[True, True])
"""What is counted whatever rules read."""


def velocities_of(terms: AskedTerms, signals: Sequence[int]) -> dict[str, int]:
    """What the store counted of a request's own entities before it, under the names rules use.

    `signals` are six numbers an entity: requests and micros of each window.
    """
    return dict(zip(_NAMES[bool(terms.user), bool(terms.key)], signals, strict=False))


MEMBERSHIP = " in @"
"""In the names of what is either so or not."""


def tallied_of(asked: Asked, out: Outcome) -> dict[str, int]:
    """What tallies showed before a request, under the names rules use."""
    if asked.tallied is None:
        return {}
    return named(asked.tallied.reads, out.seen)


def named(reads: Iterable[str], numbers: Iterable[int]) -> dict[str, int]:
    """Numbers of tallies by what they are read as; a membership is either so or not."""
    pairs = zip(reads, numbers, strict=False)
    return {n: bool(number) if MEMBERSHIP in n else number for n, number in pairs if n}


@lru_cache(maxsize=1024)
def _local(timezone: str, quarter: int) -> tuple[int, int]:
    local = datetime.fromtimestamp(quarter * QUARTER_MS / 1000, zone(timezone))
    return local.hour, local.isoweekday()
