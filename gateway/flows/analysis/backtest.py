"""Apply a rule set to past requests, read from their records."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.core.commands import Outcome
from gateway.core.request_record import RequestRecord
from gateway.flows.analysis.point_in_time import (
    READ,
    InOrder,
    Line,
    PointInTime,
    begins,
    missing_since,
)
from gateway.flows.analysis.services import AnalysisServices
from gateway.flows.risk.assessment import STOPS, is_assessed, reads_of
from gateway.flows.risk.judgement import judge, known_after, rehearsed
from gateway.flows.risk.policies import Cited
from gateway.wire import records
from gateway.wire.records import StreamRecord
from rules.engine import Phased

AT_A_TIME = 2_000
MOST_EXAMPLES = 5
DECIDED = "authorize"


@dataclass
class Hits:
    """Matches of one rule."""

    requests: int = 0
    micros: int = 0
    alone: int = 0
    """Requests that no other rule of the set matched: without them it adds nothing."""
    fraud: int = 0
    good: int = 0
    examples: list[str] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)
    """Rules that matched the same requests, and how many."""


@dataclass
class Backtest:
    """Result of a rule set on requests that passed account, price and money.

    `differs` counts those that this very rule set decided, and would decide in another way now.
    `fraud` and `good` are what labels say by now of those that have one.
    """

    requests: int = 0
    micros: int = 0
    stopped: int = 0
    stopped_micros: int = 0
    same: int = 0
    differs: int = 0
    fraud: int = 0
    fraud_stopped: int = 0
    fraud_stopped_micros: int = 0
    good_stopped: int = 0
    good_stopped_micros: int = 0
    rules: dict[str, Hits] = field(default_factory=dict)
    is_cut: bool = False
    """True if counters that the store did not keep were recomputed from a part of the log."""

    @property
    def stopped_percent(self) -> float:
        """The larger of the shares of requests and of money that would be stopped."""
        shares = ((self.stopped, self.requests), (self.stopped_micros, self.micros))
        return max((100 * part / whole for part, whole in shares if whole), default=0.0)


class Stopped(Exception):
    """It was cancelled."""


@dataclass(frozen=True)
class Span:
    """The records to look at: the newest `most` of [from, to), Unix ms.

    Labels count if they were recorded before `labels_ms` (0: all). Counters that were not counted
    live are recomputed from at most `most_back` records before the span (0: from all that matter).
    """

    from_ms: int
    to_ms: int
    most: int
    labels_ms: int = 0
    most_back: int = 0


Progress = Callable[[int, int], Awaitable[None]]
"""Takes the number of rows done and of all; raises Stopped to end the backtest."""


async def no_progress(done: int, rows: int) -> None:
    """Ignore progress."""


async def backtest(
    services: AnalysisServices, phased: Phased, span: Span, progress: Progress = no_progress
) -> Backtest:
    """Try a rule set on what was decided. Raises Unavailable, or what `progress` raises."""
    history = services.history
    rows = (await history.head()).rows
    from_row = max(await history.row_at(span.from_ms), rows - span.most)
    changes = await services.rulesets.changes()
    trial = Trial(phased, span, from_row)
    first = from_row
    names = missing_since(changes, reads_of(phased.ruleset), span.from_ms)
    if names:
        trial.lookback = PointInTime(names, services.secret)
        where = (from_row, span.from_ms, span.most_back)
        first, trial.found.is_cut = await begins(history, trial.lookback, *where)
    for at in range(first, rows, AT_A_TIME):
        # Nothing, where they were pruned.
        lines = await history.numbered(at, AT_A_TIME, trial.kinds)
        await asyncio.to_thread(trial.take, lines)
        await _weigh(services, trial)
        await progress(min(at + AT_A_TIME, rows) - first, rows - first)
    trial.take_rest()
    await _weigh(services, trial)
    return trial.found


async def _weigh(services: AnalysisServices, trial: Trial) -> None:
    labelled = await services.labels.of(trial.decisions(), trial.span.labels_ms)
    standing = await services.store.listed(trial.entries())
    await asyncio.to_thread(trial.weigh, labelled, standing)


class Trial:
    """A rule set on its way through the records."""

    def __init__(self, phased: Phased, span: Span, from_row: int) -> None:
        self.span = span
        self.lookback: PointInTime | None = None
        self.found = Backtest(rules={rule.id: Hits() for rule in phased.ruleset.rules})
        self._phased = phased
        self._from_row = from_row
        self._order = InOrder()
        self._ready: list[Line] = []

    @property
    def kinds(self) -> tuple[str, ...]:
        """Records that are wanted."""
        return READ if self.lookback is not None else (DECIDED,)

    def take(self, lines: Sequence[tuple[int, StreamRecord]]) -> None:
        """Take in the next records, each with its row."""
        if self.lookback is not None and self.lookback.is_shared:
            self._ready = list(self._order.take(lines))
        else:
            # Those of one org stand in their order.
            self._ready = [(row, line, *records.decode(line)) for row, line in lines]

    def take_rest(self) -> None:
        """There are no more."""
        self._ready = list(self._order.rest())

    def decisions(self) -> list[str]:
        """Decisions whose labels are needed."""
        return [note.id for _, _, _, note in self._ready if isinstance(note, RequestRecord)]

    def entries(self) -> set[str]:
        """List items whose membership is asked for."""
        if self.lookback is None:
            return set()
        asked = (note for _, _, _, note in self._ready if isinstance(note, RequestRecord))
        return {name for one in asked for name in self.lookback.lists(one)}

    def weigh(self, labels: Mapping[str, str], standing: Collection[str]) -> None:
        """Try the rules on what was taken in."""
        for row, line, out, asked in self._ready:
            is_wanted = row >= self._from_row and line.kind == DECIDED
            if (
                not is_wanted
                or not isinstance(asked, RequestRecord)
                or not isinstance(out, Outcome)
            ):
                if self.lookback is not None:
                    self.lookback.note(out, asked)
                continue
            more = None
            if self.lookback is not None:
                more = self.lookback.seen(asked, out, standing)
            in_span = self.span.from_ms <= out.now_ms < self.span.to_ms
            if in_span and is_assessed(asked, out):
                _try(self.found, self._phased, (asked, out, more), labels.get(asked.id, ""))


def decided_in(lines: Iterable[StreamRecord]) -> list[tuple[RequestRecord, Outcome]]:
    """Those of the records that are decisions which rules could have stopped."""
    found = []
    for line in lines:
        if line.kind != DECIDED:
            continue
        out, asked = records.decode(line)
        assert isinstance(out, Outcome) and isinstance(asked, RequestRecord)
        if is_assessed(asked, out):
            found.append((asked, out))
    return found


def _try(
    found: Backtest,
    phased: Phased,
    of: tuple[RequestRecord, Outcome, Mapping[str, int] | None],
    label: str,
) -> None:
    asked, out, more = of
    risk = asked.risk
    at_ms = risk.at_ms if risk is not None else out.now_ms
    is_own = risk is not None and risk.ruleset == phased.ruleset.id
    # What it did not know when it decided it does not know now.
    known = known_after(asked, out, at_ms, None if is_own else more)
    amount, whole = asked.amount, rehearsed(phased, asked, known)
    is_lifted = risk is not None and risk.is_lifted and whole.action == "challenge"
    _count(found, amount, label, is_stopped=whole.action in STOPS and not is_lifted)
    if is_own:
        live = judge(Cited(phased), asked, out)[0].risk
        assert live is not None
        told = (whole.action, tuple(rule.id for rule in whole.matches), whole.unknown)
        is_same = told == (live.action, live.rules, live.unknown)
        found.same += is_same
        found.differs += not is_same
    for rule in whole.matches:
        # A built-in list that somebody stands on matched as a rule does.
        hits = found.rules.setdefault(rule.id, Hits())
        hits.requests += 1
        hits.micros += amount
        hits.alone += len(whole.matches) == 1
        hits.fraud += label == "fraud"
        hits.good += label == "good"
        if len(hits.examples) < MOST_EXAMPLES:
            hits.examples.append(asked.id)
        if len(whole.matches) > 1:
            for other in whole.matches:
                if other is not rule:
                    hits.others[other.id] = hits.others.get(other.id, 0) + 1


def _count(found: Backtest, amount: int, label: str, *, is_stopped: bool) -> None:
    found.requests += 1
    found.micros += amount
    found.fraud += label == "fraud"
    if not is_stopped:
        return
    found.stopped += 1
    found.stopped_micros += amount
    if label == "fraud":
        found.fraud_stopped += 1
        found.fraud_stopped_micros += amount
    elif label == "good":
        found.good_stopped += 1
        found.good_stopped_micros += amount
