"""What a rule set would have done with requests that were decided: told from their records."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.catalog.labels import Labels
from gateway.core.orders import Outcome
from gateway.core.record import Asked
from gateway.flows.risk import STOPS, is_assessed, judge, known_behind, rehearsed
from gateway.ledger.history import History
from gateway.wire import records
from gateway.wire.records import StreamRecord
from rules.engine import Phased

AT_A_TIME = 2_000
MOST_EXAMPLES = 5
ALWAYS = (0, 2**62)


@dataclass
class Hits:
    """What one rule matched."""

    requests: int = 0
    micros: int = 0
    alone: int = 0
    """Requests that no other rule of the set matched: without them it adds nothing."""
    fraud: int = 0
    good: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class Backtest:
    """What a rule set would have made of requests that passed account, price and money.

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

    @property
    def stopped_percent(self) -> float:
        """The larger of the shares of requests and of money that would be stopped."""
        shares = ((self.stopped, self.requests), (self.stopped_micros, self.micros))
        return max((100 * part / whole for part, whole in shares if whole), default=0.0)


async def backtest(
    history: History, labels: Labels, phased: Phased, span: tuple[int, int], most: int
) -> Backtest:
    """Try a rule set on at most the newest `most` records of a span (Unix ms).

    Raises Unavailable.
    """
    rows = (await history.head()).rows
    row = max(await history.row_at(span[0]), rows - most)
    found = Backtest(rules={rule.id: Hits() for rule in phased.ruleset.rules})
    for at in range(row, rows, AT_A_TIME):
        # Nothing, where they were pruned.
        lines = await history.lines(at, AT_A_TIME)
        decided = await asyncio.to_thread(decided_in, lines, span)
        labelled = await labels.of([asked.id for asked, _ in decided])
        await asyncio.to_thread(_add, found, phased, decided, labelled)
    return found


def decided_in(
    lines: Iterable[StreamRecord], span: tuple[int, int] = ALWAYS
) -> list[tuple[Asked, Outcome]]:
    """Those of the records that are decisions of a span which rules could have stopped."""
    found = []
    for line in lines:
        if line.kind != "authorize":
            continue
        out, asked = records.decode(line)
        if not isinstance(out, Outcome) or not isinstance(asked, Asked):
            continue
        if span[0] <= out.now_ms < span[1] and is_assessed(asked, out):
            found.append((asked, out))
    return found


def _add(
    found: Backtest,
    phased: Phased,
    decided: Iterable[tuple[Asked, Outcome]],
    labels: Mapping[str, str],
) -> None:
    for asked, out in decided:
        _try(found, phased, asked, out, labels.get(asked.id, ""))


def _try(found: Backtest, phased: Phased, asked: Asked, out: Outcome, label: str) -> None:
    at_ms = asked.risk.at_ms if asked.risk is not None else out.now_ms
    amount, whole = asked.amount, rehearsed(phased, asked, known_behind(asked, out, at_ms))
    _count(found, amount, label, is_stopped=whole.action in STOPS)
    if asked.risk is not None and asked.risk.ruleset == phased.ruleset.id:
        live = judge(phased, asked, out)[0].risk
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
