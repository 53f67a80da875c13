"""Recompute velocity counters as of each past request, from the log.

Runs the reference machine on the records, ordered by the store's clock and, within a millisecond,
by the shards' sequences. Lists have no history: membership is as of now.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from gateway.catalog.declared_counters import WINDOWED, Declared, declared
from gateway.catalog.policy_log import WARM, Change
from gateway.core.commands import Moved, Outcome
from gateway.core.facts import named
from gateway.core.log_counters import Running, Step
from gateway.core.request_record import EventRecord, RequestRecord
from gateway.core.velocity import COUNTED, DISTINCT, FIRST, LISTED, VelocityCounter
from gateway.flows.risk.velocity import VelocityCounters
from gateway.ledger.history import History
from gateway.wire import records
from gateway.wire.records import Note, Out, StreamRecord

SETTLED_MS = 2_000
"""Records of all shards are in the ledger in the order of their times, give or take so many ms."""
SWEEP_EVERY = 50_000
MOST_KNOWN = 50_000
READ = ("authorize", "extend", "event")

Line = tuple[int, StreamRecord, Out, Note | None]
"""The number of its row, the record, and what is in it."""


def missing_since(changes: Sequence[Change], reads: Iterable[str], from_ms: int) -> tuple[str, ...]:
    """Names whose counters are missing in some records since a time (Unix ms)."""
    known = declared(changes)
    warm_ms: dict[str, int] = {}
    for change in changes:
        if change.mode == WARM:
            warm_ms |= dict.fromkeys(change.reads, change.at_ms)
    return tuple(
        name
        for name in reads
        if not (name in known and known[name].is_warm and warm_ms.get(name, from_ms) < from_ms)
    )


NUMBERS = {COUNTED: 2, DISTINCT: 2, LISTED: 1, FIRST: 1}
"""Number of values that a velocity counter shows, by its kind."""


@dataclass
class _Known:
    """Counter steps and list keys shared by all requests of the same entities, with their names."""

    key: tuple[object, ...]
    steps: list[Step] = field(default_factory=list)
    entries: list[str] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)


class PointInTime:
    """Counts `names` from zero; must begin two windows before the first request of interest."""

    def __init__(self, names: Iterable[str], secret: bytes) -> None:
        wanted = {name: Declared(0, is_warm=True) for name in names}
        self._tallying = VelocityCounters(0, wanted, secret)
        self.windows_ms = 2 * self._tallying.longest_ms
        self._has_lists = not all(name.startswith(WINDOWED) for name in wanted)
        self.is_shared = self._tallying.is_shared
        """Whether the order of records of different orgs matters."""
        self._running = Running()
        self._cache: dict[tuple[object, ...], _Known] = {}
        self._alike: dict[tuple[object, ...], list[Step]] = {}
        self._met = 0

    def lists(self, asked: RequestRecord) -> Sequence[str]:
        """The list keys of a request."""
        return self._known(asked).entries

    def seen(self, asked: RequestRecord, out: Outcome, standing: Collection[str]) -> dict[str, int]:
        """Readings of a request by counter name; the request is counted afterwards.

        `standing`: digests of list items that are on their lists.
        """
        known = self._known(asked)
        steps = self._all_steps(known, asked, out.now_ms)
        found = self._running.meet(steps, (asked.amount, out.allowed), out.now_ms)
        if known.entries:
            found |= named(known.looked_up, [int(entry in standing) for entry in known.entries])
        self._sweep(out.now_ms)
        return found

    def _known(self, asked: RequestRecord) -> _Known:
        """Counter steps and list keys of a request, cached by its entities."""
        terms, context = asked.terms, asked.context
        key: tuple[object, ...] = (terms.org, terms.project, terms.user, terms.key)
        key += (*context, *context.values())
        if self._has_lists:
            key += (terms.product, terms.customer, asked.run, asked.caller)
        known = self._cache.get(key)
        if known is None:
            tallies, names = self._tallying.all_counters(asked)
            if len(self._cache) >= MOST_KNOWN:
                self._cache.clear()
            known = self._cache[key] = self._split(key, tallies, names)
        return known

    def _split(
        self, key: tuple[object, ...], tallies: list[VelocityCounter], names: list[str]
    ) -> _Known:
        """Counted ones and entries of lists, each with the names of its numbers."""
        numbers, split = iter(names), _Known(key)
        for tally in tallies:
            mine = [next(numbers) for _ in range(NUMBERS[tally.kind])]
            if tally.kind == LISTED:
                split.entries.append(tally.name)
                split.looked_up += mine
            else:
                split.steps += self._running.steps([tally], mine)
        return split

    def _all_steps(self, known: _Known, asked: RequestRecord, now_ms: int) -> list[Step]:
        """With those of requests that have something in common with it."""
        likeness = self._tallying.likeness(asked, now_ms)
        if not likeness:
            return known.steps
        found = list(known.steps)
        terms = asked.terms
        own: tuple[object, ...] = (terms.org, terms.project, terms.user, terms.key)
        of = own if self._tallying.is_alike_own else known.key
        for place, alike in enumerate(likeness):
            key = (place, alike, of)
            steps = self._alike.get(key)
            if steps is None:
                if len(self._alike) >= MOST_KNOWN:
                    self._alike.clear()
                tallies, names = self._tallying.alike(asked, place, alike)
                steps = self._alike[key] = self._running.steps(tallies, names)
            found += steps
        return found

    def note(self, out: Out, of: Note | None) -> None:
        """Count what is not looked at: requests before the span, and events."""
        if isinstance(of, RequestRecord) and isinstance(out, Outcome):
            steps = self._all_steps(self._known(of), of, out.now_ms)
            self._running.meet(steps, (of.amount, out.allowed), out.now_ms)
        elif isinstance(of, EventRecord) and isinstance(out, Moved):
            for tally in self._tallying.of_event(out.org, of):
                self._running.report(tally, min(of.at_ms, out.now_ms), of.amount, out.now_ms)
        self._sweep(out.now_ms)

    def _sweep(self, now_ms: int) -> None:
        self._met += 1
        if self._met % SWEEP_EVERY == 0:
            self._running.sweep(now_ms)
            # What they found is of no use any more.
            self._cache.clear()
            self._alike.clear()


async def begins(
    history: History, lookback: PointInTime, from_row: int, from_ms: int, most_back: int
) -> tuple[int, bool]:
    """Row at which counting must begin, for a span that begins at a row and time (Unix ms).

    Also whether `most_back` records (0: no bound) cut it short.
    """
    since_ms = max(from_ms, await history.time_before(from_row))
    first = await history.row_at(since_ms - lookback.windows_ms)
    if most_back and first < from_row - most_back:
        return from_row - most_back, True
    return min(first, from_row), False


class InOrder:
    """Rows of the ledger, ordered by the store's clock."""

    def __init__(self) -> None:
        self._waiting: list[tuple[tuple[int, int, int, int], Line]] = []

    def take(self, lines: Iterable[tuple[int, StreamRecord]]) -> Iterator[Line]:
        """Take in the next records, each with its row; those that none can come before."""
        latest_ms = 0
        for row, line in lines:
            out, note = records.decode(line)
            place = (out.now_ms, line.shard, line.epoch, line.seq)
            self._waiting.append((place, (row, line, out, note)))
            latest_ms = max(latest_ms, out.now_ms)
        # No two have the same place.
        self._waiting.sort()
        return self._until(latest_ms - SETTLED_MS)

    def rest(self) -> Iterator[Line]:
        """All that still wait."""
        return self._until(self._waiting[-1][0][0] + 1 if self._waiting else 0)

    def _until(self, before_ms: int) -> Iterator[Line]:
        count = bisect_left(self._waiting, before_ms, key=lambda one: one[0][0])
        ready, self._waiting = self._waiting[:count], self._waiting[count:]
        return (line for _, line in ready)
