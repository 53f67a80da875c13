"""Facts of a request, known before the store is asked, as rules read them: one flat mapping.

They are a pure function of the record, so that a rehearsal on records sees what was seen live.
Names are those of `rules.schema`; a name that is missing is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache

from gateway.core import names
from gateway.core.commands import Outcome
from gateway.core.counters import SLOT
from gateway.core.limits import tokens_of
from gateway.core.pricing import Price
from gateway.core.request_record import Customer, RecordedTerms, RequestRecord
from gateway.core.windows import MINUTE_MS, zone

QUARTER_MS = 15 * MINUTE_MS
"""A quarter of an hour in ms: clocks of all timezones differ from UTC by multiples of it."""


TAGS = "tags."
"""Begin of the fact names of a request's tags."""
Facts = dict[str, str | int | float | bool]
"""The facts of a request, by the names that rules and models use."""


def facts_of(asked: RequestRecord, at_ms: int) -> Facts:
    """Collect the facts of a request at a time (Unix ms); amounts are micros, durations ms."""
    terms = asked.terms
    facts: Facts = {
        "amount": asked.amount,
        "product": terms.product,
        # An immediate capture takes no slot, nor does a dry run of one.
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
    for name, tag in asked.tags.items():
        facts[TAGS + name] = tag
    customer = terms.customer
    if customer is not None:
        facts["org.plan"] = customer.plan
        is_free = names.is_collective(terms.book)
        facts["org.is_free"] = is_free
        if not is_free:
            facts["org.type"] = customer.type
            facts["org.age"] = at_ms - customer.created_ms
        if customer.country:
            facts["org.country"] = customer.country
        facts["hour"], facts["weekday"] = local_time(customer, at_ms)
    if terms.price is not None and terms.price.dearness:
        facts["dearness"] = terms.price.dearness
    return facts


DEAR_PERCENT = 50
"""Relative price, in percent of the dearest product, from which on a product is dear, too."""


def tier_of(price: Price | None) -> str:
    """Return a product's price tier, `dear` or `plain`; "" where that is not known."""
    if price is None or not price.dearness:
        return ""
    return "dear" if price.dearness >= DEAR_PERCENT else "plain"


def local_time(customer: Customer, at_ms: int) -> tuple[int, int]:
    """Return the hour and the weekday (1 is Monday) in the customer's timezone."""
    return _local(customer.timezone, at_ms // QUARTER_MS)


def position_of(asked: RequestRecord, out: Outcome) -> dict[str, int | float]:
    """Compute held money, open holds and the given share of funds, as they were before a request.

    `held` is micros. `open_holds` is as the first limit of concurrency counts them. `free_share` (0
    to 1) is the share of given funds in all that may still be drawn. Each is left out where it is
    not known.
    """
    found: dict[str, int | float] = {}
    if out.readings:
        found["held"] = out.readings[-2]
    for place, limit in enumerate(asked.terms.limits):
        if limit.kind == "concurrent":
            found["open_holds"] = out.readings[2 * place]
            break
    given = whole = 0
    for source, value in zip(asked.terms.sources, out.funds, strict=False):
        room = value - source.floor
        if room > 0:
            whole += room
            given += room if source.is_given else 0
    if whole:
        found["free_share"] = given / whole
    return found


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
"""Fact names of the numbers of an outcome's signals, by whether there is a user and a key."""
SIGNALS = frozenset(_NAMES[True, True])
"""Fact names of what is counted whatever rules read."""


def velocities_of(terms: RecordedTerms, signals: Sequence[int]) -> dict[str, int]:
    """Name what the store had counted of a request's own entities, as rules read it.

    `signals` are six numbers per entity: requests and micros of each window.
    """
    return dict(zip(_NAMES[bool(terms.user), bool(terms.key)], signals, strict=False))


MEMBERSHIP = " in @"
"""Part of the fact names of list memberships, which are booleans."""


def tallied_of(asked: RequestRecord, out: Outcome) -> dict[str, int]:
    """Name what velocity counters showed before a request, as rules read it."""
    if asked.tallied is None:
        return {}
    return named(asked.tallied.reads, out.seen)


def named(reads: Iterable[str], numbers: Iterable[int]) -> dict[str, int]:
    """Map counter readings to fact names; list memberships become booleans.

    A reading whose name is "" is left out.
    """
    pairs = zip(reads, numbers, strict=False)
    return {n: bool(number) if MEMBERSHIP in n else number for n, number in pairs if n}


@lru_cache(maxsize=1024)
def _local(timezone: str, quarter: int) -> tuple[int, int]:
    local = datetime.fromtimestamp(quarter * QUARTER_MS / 1000, zone(timezone))
    return local.hour, local.isoweekday()
