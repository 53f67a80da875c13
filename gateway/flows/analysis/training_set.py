"""Turn the decision log into training rows: the vectors as they were, or would have been, live.

A record has what was counted when it was decided. Counters that did not exist then are recomputed
from the log by the reference machine, as of each request.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from gateway.catalog.labels import Labels
from gateway.catalog.lists import Lists
from gateway.catalog.policy_log import RuleSets
from gateway.core.commands import Outcome
from gateway.core.facts import MEMBERSHIP, SIGNALS
from gateway.core.request_record import RequestRecord
from gateway.flows.analysis.point_in_time import (
    READ,
    SETTLED_MS,
    InOrder,
    Line,
    PointInTime,
    begins,
    missing_since,
)
from gateway.flows.risk.assessment import is_assessed
from gateway.flows.risk.judgement import facts_after
from gateway.ledger.history import History
from gateway.wire.records import StreamRecord
from models.features import Assembler, reads_of, specs_of

AT_A_TIME = 2_000
FOR_EVER = 2**53


@dataclass
class TrainingRows:
    """Requests in order: times (Unix ms), amounts, vectors, and when each was labelled fraud, and
    cleared of it (Unix ms; 0: never).

    `is_cut`: some recomputed counters do not reach back to their beginning.
    """

    features: tuple[str, ...]
    decisions: list[str] = field(default_factory=list)
    at_ms: list[int] = field(default_factory=list)
    amounts: list[int] = field(default_factory=list)
    vectors: list[array[float]] = field(default_factory=list)
    told_ms: list[int] = field(default_factory=list)
    cleared_ms: list[int] = field(default_factory=list)
    is_cut: bool = False


@dataclass(frozen=True)
class Wanted:
    """Rows to make: these features, of [from, to) (Unix ms), the newest of at most `most` records.

    Missing counters are recomputed from at most `most_back` records before the span (0: all that
    matter, for both). With a `model`, only requests that it scored are of interest: their records
    are complete.
    """

    features: tuple[str, ...]
    from_ms: int
    to_ms: int = FOR_EVER
    most: int = 0
    most_back: int = 0
    scored_by: str = ""


@dataclass(frozen=True)
class Sources:
    """Where training rows come from; `secret` keys the entries of lists."""

    history: History
    labels: Labels
    rulesets: RuleSets
    lists: Lists
    secret: bytes


def no_progress(done: int, rows: int) -> None:
    """Ignore progress."""


async def training_rows(
    sources: Sources, wanted: Wanted, progress: Callable[[int, int], None] = no_progress
) -> TrainingRows:
    """The rows that are wanted. Raises Unavailable, or ModelError for unknown features."""
    collector, history = Collector(wanted), sources.history
    last = (await history.head()).rows
    if wanted.to_ms < FOR_EVER:
        last = min(last, await history.row_at(wanted.to_ms + SETTLED_MS) + AT_A_TIME)
    first = await history.row_at(wanted.from_ms)
    collector.from_row = first = max(first, last - wanted.most if wanted.most else 0)
    names = [n for n in collector.reads if n.startswith("velocity.") or MEMBERSHIP in n]
    names = [n for n in names if n not in SIGNALS]
    if not wanted.scored_by:
        names = list(missing_since(await sources.rulesets.changes(), names, wanted.from_ms))
        first = await _look_back(sources, collector, names, first)
    for at in range(first, last, AT_A_TIME):
        lines = await history.numbered(at, min(AT_A_TIME, last - at), READ)
        await asyncio.to_thread(collector.add, lines)
        progress(min(at + AT_A_TIME, last) - first, last - first)
    await asyncio.to_thread(collector.add_rest)
    frauds, found = await sources.labels.frauds(wanted.from_ms), collector.found
    told = [frauds.get(decision, (0, 0)) for decision in found.decisions]
    found.told_ms = [told_ms for told_ms, _ in told]
    found.cleared_ms = [cleared_ms for _, cleared_ms in told]
    return found


async def _look_back(sources: Sources, collector: Collector, names: list[str], first: int) -> int:
    """Have names counted from before a row; from which one on, then."""
    if not names:
        return first
    wanted = collector.wanted
    collector.lookback = PointInTime(names, sources.secret)
    read = {name.rpartition("@")[2] for name in names if MEMBERSHIP in name}
    collector.standing = await sources.lists.current(read, time.time_ns() // 1_000_000)
    where = (first, wanted.from_ms, wanted.most_back)
    begin, collector.found.is_cut = await begins(sources.history, collector.lookback, *where)
    return begin


class Collector:
    """Turns records into vectors as they come, ordered by the store's clock."""

    def __init__(self, wanted: Wanted) -> None:
        specs = specs_of(wanted.features)
        self.wanted = wanted
        self.found = TrainingRows(wanted.features)
        self.reads = reads_of(specs)
        self.lookback: PointInTime | None = None
        self.from_row = 0
        self.standing: Collection[str] = ()
        """List items of today: lists are not recomputed as of the past."""
        self._order = InOrder()
        self._assembler = Assembler(specs)

    def add(self, lines: Sequence[tuple[int, StreamRecord]]) -> None:
        """Take in the next records, each with its row, as soon as none can come before them."""
        self._take(self._order.take(lines))

    def add_rest(self) -> None:
        """There are no more."""
        self._take(self._order.rest())

    def _take(self, lines: Iterable[Line]) -> None:
        for row, line, out, asked in lines:
            if line.kind != "authorize" or not isinstance(asked, RequestRecord):
                if self.lookback is not None:
                    self.lookback.note(out, asked)
                continue
            assert isinstance(out, Outcome)
            more = {}
            if self.lookback is not None:
                more = self.lookback.seen(asked, out, self.standing)
            if row >= self.from_row and self._is_wanted(asked, out):
                self._add(asked, out, more)

    def _is_wanted(self, asked: RequestRecord, out: Outcome) -> bool:
        wanted = self.wanted
        if not wanted.from_ms <= out.now_ms < wanted.to_ms or not is_assessed(asked, out):
            return False
        model = asked.risk.model if asked.risk is not None else ""
        return wanted.scored_by in ("", model)

    def _add(self, asked: RequestRecord, out: Outcome, more: dict[str, int]) -> None:
        at_ms = asked.risk.at_ms if asked.risk is not None else out.now_ms
        facts = {**more, **facts_after(asked, out, at_ms)}
        found = self.found
        found.decisions.append(asked.id)
        found.at_ms.append(out.now_ms)
        found.amounts.append(asked.amount)
        found.vectors.append(array("d", self._assembler.vector(facts)))
