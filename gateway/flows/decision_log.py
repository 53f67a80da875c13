"""The decision log, read backwards: what was decided of whom, as it was told."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.decision import Decision, conclude
from gateway.core.orders import Outcome
from gateway.core.reasons import Reason
from gateway.core.record import Asked
from gateway.flows.gateway import Caller, Gateway
from gateway.flows.risk import judge
from gateway.ledger.reading import NO_ROW
from gateway.wire import records
from gateway.wire.answers import word_of

AT_A_TIME = 5_000
MOST_LOOKED_AT = 250_000
"""Rows that one call looks at: where few match, the answer is short and its cursor goes on."""


@dataclass(frozen=True)
class Wanted:
    """Which decisions of a span (Unix ms): of an org, with an outcome, for a reason ("" for any).

    Those behind the row `before` come with the calls that follow.
    """

    from_ms: int
    to_ms: int
    org: str = ""
    decision: str = ""
    reason: str = ""
    before: int = NO_ROW


@dataclass(frozen=True)
class Logged:
    """A decision of the log, the row it stands in, and when the store made it (Unix ms)."""

    row: int
    at_ms: int
    decision: Decision


async def look(
    gateway: Gateway, wanted: Wanted, limit: int, caller: Caller
) -> tuple[list[Logged], int | None]:
    """The newest decisions that are wanted, and the row to go on before (None: that were all)."""
    if wanted.org:
        caller.check_org(wanted.org)
    org = wanted.org or caller.credential.org
    first = await gateway.history.row_at(wanted.from_ms)
    before = min(wanted.before, (await gateway.history.head()).rows)
    found: list[Logged] = []
    looked_at = 0
    while before > first and looked_at < MOST_LOOKED_AT:
        at = max(first, before - AT_A_TIME)
        lines = await gateway.history.numbered(at, before - at, ("authorize",), org)
        for row, line in reversed(lines):
            out, asked = records.decode(line)
            assert isinstance(out, Outcome) and isinstance(asked, Asked)
            if not wanted.from_ms <= out.now_ms < wanted.to_ms:
                continue
            judged, told = judge(await gateway.rules.of(asked), asked, out)
            decision = conclude(judged, told)
            if _is_wanted(decision, wanted):
                found.append(Logged(row, out.now_ms, decision))
                if len(found) == limit:
                    return found, row
        looked_at, before = looked_at + before - at, at
    return found, before if before > first else None


def _is_wanted(decision: Decision, wanted: Wanted) -> bool:
    if wanted.decision and word_of(decision) != wanted.decision:
        return False
    return not wanted.reason or any(
        Reason(reason.code).name == wanted.reason for reason in decision.reasons
    )
