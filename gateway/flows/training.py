"""Training rows from the decision log: the vectors that requests had, or would have had, live.

What was counted when a request was decided stands in its record; what nobody counted then is
computed from the log by the reference machine, as of each moment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from gateway.catalog.labels import Labels
from gateway.catalog.lists import Lists
from gateway.catalog.rulesets import RuleSets
from gateway.core.facts import MEMBERSHIP, SIGNALS
from gateway.core.orders import Outcome
from gateway.core.record import Asked
from gateway.flows.lookback import READ, InOrder, Line, Lookback, cold
from gateway.flows.risk import facts_behind, is_assessed
from gateway.ledger.history import History
from gateway.wire.records import StreamRecord
from models.features import Assembler, reads_of, specs_of

AT_A_TIME = 2_000


@dataclass
class TrainingRows:
    """Requests in their order: moments (Unix ms), amounts, vectors, and when each was told to be
    fraud (0: never)."""

    features: tuple[str, ...]
    decisions: list[str] = field(default_factory=list)
    at_ms: list[int] = field(default_factory=list)
    amounts: list[int] = field(default_factory=list)
    vectors: list[tuple[float, ...]] = field(default_factory=list)
    told_ms: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Sources:
    """Where training rows come from; `secret` keys the entries of lists."""

    history: History
    labels: Labels
    rulesets: RuleSets
    lists: Lists
    secret: bytes


async def training_rows(
    sources: Sources,
    features: Sequence[str],
    span_ms: tuple[int, int],
    progress: Callable[[int, int], None] = lambda done, rows: None,
    *,
    most: int = 0,
    looks: bool = True,
) -> TrainingRows:
    """The rows of [from, to), the newest of at most so many records (0: all).

    What nobody counted then is computed from the log, unless it `looks` no further than each
    record. Raises Unavailable, or ModelError for unknown features.
    """
    from_ms = span_ms[0]
    collector = Collector(features, span_ms)
    wanted = [n for n in collector.reads if n.startswith("velocity.") or " in @" in n]
    names = cold(await sources.rulesets.changes(), [n for n in wanted if n not in SIGNALS], from_ms)
    history = sources.history
    rows = (await history.head()).rows
    first = collector.from_row = max(await history.row_at(from_ms), rows - most if most else 0)
    if names and looks:
        collector.lookback = Lookback(names, sources.secret)
        read = {str(name).rpartition("@")[2] for name in names if MEMBERSHIP in name}
        collector.standing = await sources.lists.standing(read, time.time_ns() // 1_000_000)
        since_ms = max(from_ms, await history.moment_before(first))
        first = await history.row_at(since_ms - collector.lookback.windows_ms)
    for at in range(first, rows, AT_A_TIME):
        lines = await history.numbered(at, AT_A_TIME, READ)
        await asyncio.to_thread(collector.add, lines)
        progress(min(at + AT_A_TIME, rows) - first, rows - first)
    collector.take(collector.order.rest())
    frauds = await sources.labels.frauds(from_ms)
    found = collector.found
    found.told_ms = [frauds.get(decision, 0) for decision in found.decisions]
    return found


class Collector:
    """Makes vectors of records as they come, in the order of their moments."""

    def __init__(self, features: Sequence[str], span_ms: tuple[int, int]) -> None:
        specs = specs_of(features)
        self.found = TrainingRows(tuple(features))
        self.reads = reads_of(specs)
        self.order = InOrder()
        self.lookback: Lookback | None = None
        self.from_row = 0
        self.standing: Collection[str] = ()
        """Entries of lists that stand now: lists have no past."""
        self._assembler = Assembler(specs)
        self._from_ms, self._to_ms = span_ms

    def add(self, lines: Sequence[tuple[int, StreamRecord]]) -> None:
        """Take in the next records, each with its row, as soon as none can come before them."""
        self.take(self.order.take(lines))

    def take(self, lines: Iterable[Line]) -> None:
        """Take in records in the order of their moments."""
        for row, line, out, asked in lines:
            if line.kind != "authorize" or not isinstance(asked, Asked):
                if self.lookback is not None:
                    self.lookback.note(out, asked)
                continue
            assert isinstance(out, Outcome)
            more = {}
            if self.lookback is not None:
                more = self.lookback.seen(asked, out, self.standing)
            in_span = self._from_ms <= out.now_ms < self._to_ms and row >= self.from_row
            if in_span and is_assessed(asked, out):
                self._add(asked, out, more)

    def _add(self, asked: Asked, out: Outcome, more: dict[str, int]) -> None:
        at_ms = asked.risk.at_ms if asked.risk is not None else out.now_ms
        facts = {**more, **facts_behind(asked, out, at_ms)}
        found = self.found
        found.decisions.append(asked.id)
        found.at_ms.append(out.now_ms)
        found.amounts.append(asked.amount)
        found.vectors.append(self._assembler.vector(facts))
