"""Rule matches, a projection of the ledger: source of the review queue and of reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import and_, cast, delete, exists, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import Double

from gateway.catalog import schema as t
from gateway.catalog.tables import Tables

ACTIVE, SHADOW = "active", "shadow"
"""Modes of a match: the rule set decided, or it ran in shadow."""


class Match(Struct, frozen=True):
    """A rule that matched a request; `outcome` is the strongest action of its rule set there.

    `day` counts days since 1970 (UTC), `at_ms` is Unix ms.
    """

    decision: str
    ruleset: str
    rule: str
    mode: str
    outcome: str
    org: str
    day: int
    at_ms: int
    currency: str
    amount_micros: int


@dataclass
class Gathered:
    """Matches in a span of ledger rows, and its requests by rule set, mode and day."""

    matches: list[Match] = field(default_factory=list)
    assessed: Counter[tuple[str, str, int]] = field(default_factory=Counter)


class Review(Struct, frozen=True):
    """A decision that waits for a reviewer, with the ids of the rules that matched."""

    decision: str
    at_ms: int
    org: str
    ruleset: str
    currency: str
    amount_micros: int
    rules: tuple[str, ...]


@dataclass
class RuleTotals:
    """Totals of one rule in a span of days: requests, their labels, and money by currency.

    Money is exact up to 2**53 micros: the query sums in doubles.
    """

    requests: int = 0
    fraud: int = 0
    good: int = 0
    micros: dict[str, int] = field(default_factory=dict)


class Matches(Tables):
    """Tables of the projection; each row of the ledger is counted once."""

    @property
    def _insert(self) -> Any:
        dialects = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
        return dialects[self._engine.dialect.name]

    async def row(self) -> int:
        """Return the first ledger row that is not in the projection yet."""
        async with self._read() as c:
            return int((await c.execute(select(t.matches_state.c.row))).scalar_one())

    async def add(self, from_row: int, to_row: int, found: Gathered) -> bool:
        """Store the matches of ledger rows [from_row, to_row) and move the cursor.

        One transaction does both. Returns False, having changed nothing, if another process moved
        the cursor first.
        """
        a, state = t.assessed.c, t.matches_state
        async with self._write() as c:
            move = update(state).where(state.c.row == from_row).values(row=to_row)
            if not (await c.execute(move)).rowcount:
                return False
            if found.matches:
                rows = [asdict(match) for match in found.matches]
                await c.execute(self._insert(t.matches).on_conflict_do_nothing(), rows)
            for (ruleset, mode, day), requests in found.assessed.items():
                same = and_(a.ruleset == ruleset, a.mode == mode, a.day == day)
                more = update(t.assessed).where(same).values(requests=a.requests + requests)
                if not (await c.execute(more)).rowcount:
                    values = {"ruleset": ruleset, "mode": mode, "day": day, "requests": requests}
                    await c.execute(insert(t.assessed).values(**values))
        return True

    async def assessed(self, ruleset: str, days: tuple[int, int]) -> dict[str, int]:
        """Return, by mode, how many requests a rule set assessed in the days [from, to)."""
        a = t.assessed.c
        of = and_(a.ruleset == ruleset, a.day >= days[0], a.day < days[1])
        query = select(a.mode, func.sum(a.requests)).where(of).group_by(a.mode)
        async with self._read() as c:
            return {mode: int(requests) for mode, requests in await c.execute(query)}

    async def report(
        self, ruleset: str, days: tuple[int, int]
    ) -> dict[tuple[str, str], RuleTotals]:
        """Return the totals of a rule set in the days [from, to) by mode and rule.

        Fraud and good count by the decisions' current labels.
        """
        m, told = t.matches.c, t.labels.c
        latest = select(told.label).where(told.decision == m.decision)
        holds = latest.order_by(told.n.desc()).limit(1).scalar_subquery().label("label")
        each = (
            select(m.mode, m.rule, m.currency, m.amount_micros, holds)
            .where(m.ruleset == ruleset, m.day >= days[0], m.day < days[1])
            .subquery()
        )
        by = (each.c.mode, each.c.rule, each.c.currency, each.c.label)
        micros = func.sum(cast(each.c.amount_micros, Double))
        query = select(*by, func.count(), micros).group_by(*by)
        found: dict[tuple[str, str], RuleTotals] = {}
        async with self._read() as c:
            for mode, rule, currency, label, requests, total in await c.execute(query):
                totals = found.setdefault((mode, rule), RuleTotals())
                totals.requests += requests
                totals.fraud += requests if label == "fraud" else 0
                totals.good += requests if label == "good" else 0
                totals.micros[currency] = totals.micros.get(currency, 0) + int(total)
        return found

    async def reviews(self, after: tuple[int, str], limit: int) -> list[Review]:
        """Return unlabelled decisions to review, oldest first, after (Unix ms, decision id)."""
        m = t.matches.c
        is_labelled = exists().where(t.labels.c.decision == m.decision)
        behind = or_(m.at_ms > after[0], and_(m.at_ms == after[0], m.decision > after[1]))
        columns = (m.decision, m.at_ms, m.org, m.ruleset, m.currency, m.amount_micros)
        query = (
            select(*columns)
            .where(m.mode == ACTIVE, m.outcome == "review", behind)
            .where(~is_labelled)
            .distinct()
            .order_by(m.at_ms, m.decision)
            .limit(limit)
        )
        async with self._read() as c:
            rows = (await c.execute(query)).all()
            of = and_(m.mode == ACTIVE, m.decision.in_([row.decision for row in rows]))
            rules: dict[str, list[str]] = {}
            for decision, rule in await c.execute(select(m.decision, m.rule).where(of)):
                rules.setdefault(decision, []).append(rule)
        return [Review(*row, tuple(sorted(rules[row.decision]))) for row in rows]

    async def forget(self, before_day: int) -> None:
        """Delete the matches of all days before `before_day`."""
        async with self._write() as c:
            await c.execute(delete(t.matches).where(t.matches.c.day < before_day))
