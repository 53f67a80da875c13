"""List decisions, newest first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.commands import Outcome
from gateway.core.decision import Decision, conclude
from gateway.core.reasons import Reason
from gateway.core.request_record import RequestRecord
from gateway.errors import Unavailable
from gateway.flows.analysis.point_in_time import SETTLED_MS
from gateway.flows.decisions.services import DecisionServices
from gateway.flows.risk.judgement import judge
from gateway.flows.risk.policies import NOTHING_CITED, Cited
from gateway.flows.shared.caller import Caller
from gateway.ledger.reading import NO_ROW
from gateway.wire import records
from gateway.wire.answers.spend import word_of
from gateway.wire.records import StreamRecord

AT_A_TIME = 2_000
MOST_LOOKED_AT = 250_000
"""Rows that one call looks at: where few match, the answer is short and its cursor goes on."""


_Decided = tuple[int, RequestRecord, Outcome]


@dataclass(frozen=True)
class Wanted:
    """Filter of the log: span (Unix ms), org, outcome, reason ("" for any), at most `limit`.

    `before` is the row of the cursor: only older rows follow.
    """

    from_ms: int
    to_ms: int
    org: str = ""
    decision: str = ""
    reason: str = ""
    before: int = NO_ROW


@dataclass(frozen=True)
class Logged:
    """A decision, its row in the ledger, and the time the store made it (Unix ms)."""

    row: int
    at_ms: int
    decision: Decision


async def look(
    services: DecisionServices, wanted: Wanted, limit: int, caller: Caller
) -> tuple[list[Logged], int | None]:
    """The newest decisions that are wanted, and the row to go on before (None: that were all)."""
    if wanted.org:
        caller.check_org(wanted.org)
    org, history = wanted.org or caller.credential.org, services.history
    first = await history.row_at(wanted.from_ms)
    last = await history.row_at(wanted.to_ms + SETTLED_MS)
    before = min(wanted.before, last + AT_A_TIME, (await history.head()).rows)
    found: list[Logged] = []
    looked_at = 0
    while before > first and looked_at < MOST_LOOKED_AT:
        at = max(first, before - AT_A_TIME)
        lines = await history.numbered(at, before - at, ("authorize",), org)
        # Beside the loop: it is busy with those who are decided.
        decided = await asyncio.to_thread(_decode, lines, wanted)
        some = {_cites(asked): asked for _, asked, _ in decided}
        cited = {name: await _cited(services, asked) for name, asked in some.items()}
        found += await asyncio.to_thread(_judge, decided, cited, wanted)
        if len(found) >= limit:
            return found[:limit], found[limit - 1].row
        looked_at, before = looked_at + before - at, at
    return found, before if before > first else None


def _decode(lines: list[tuple[int, StreamRecord]], wanted: Wanted) -> list[_Decided]:
    """The newest first."""
    found = []
    for row, line in reversed(lines):
        out, asked = records.decode(line)
        assert isinstance(out, Outcome) and isinstance(asked, RequestRecord)
        if wanted.from_ms <= out.now_ms < wanted.to_ms:
            found.append((row, asked, out))
    return found


def _cites(asked: RequestRecord) -> tuple[str, str]:
    """The ids of the rule set and the model that a record cites."""
    risk = asked.risk
    return (risk.ruleset, risk.model) if risk is not None else ("", "")


async def _cited(services: DecisionServices, asked: RequestRecord) -> Cited:
    try:
        return await services.rules.of(asked)
    except Unavailable:
        # An earlier version of the language took it: its record alone is told.
        return NOTHING_CITED


def _judge(
    decided: list[_Decided], cited: Mapping[tuple[str, str], Cited], wanted: Wanted
) -> list[Logged]:
    found = []
    for row, asked, out in decided:
        judged, told = judge(cited[_cites(asked)], asked, out)
        decision = conclude(judged, told)
        if _is_wanted(decision, wanted):
            found.append(Logged(row, out.now_ms, decision))
    return found


def _is_wanted(decision: Decision, wanted: Wanted) -> bool:
    if wanted.decision and word_of(decision) != wanted.decision:
        return False
    return not wanted.reason or any(
        Reason(reason.code).name == wanted.reason for reason in decision.reasons
    )
