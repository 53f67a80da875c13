"""Answers about rule sets."""

from __future__ import annotations

from msgspec import field

from gateway.wire.answers.base import Answer


class RuleSetAnswer(Answer):
    """A rule set: `mode` is draft, shadow, active or retired; `percent` its share of orgs.

    `rules` and `text` are present when a single rule set is requested.
    """

    id: str
    mode: str
    percent: int
    author: str
    created_at: str
    name: str | None = None
    rules: list[str] | None = None
    text: str | None = None


class RuleSetChange(Answer):
    """A change of a rule set's mode, its author and reason."""

    n: int
    ruleset: str
    mode: str
    percent: int
    author: str
    note: str
    at: str


class RuleSetsAnswer(Answer):
    """All rule sets, the newest first, under two names, and their changes, the oldest first."""

    rulesets: list[RuleSetAnswer]
    changes: list[RuleSetChange]
    data: list[RuleSetAnswer]
    next_cursor: str | None = None


class Share(Answer):
    """A rule set in force, and its share of orgs in percent."""

    ruleset: str
    percent: int


class PoliciesAnswer(Answer):
    """Rule sets in force, the first whose share an org falls in decides; and those in shadow."""

    active: list[Share]
    shadows: list[str]


class RuleReport(Answer):
    """Matches of one rule: `mode` is active where its rule set decided, else shadow.

    `share` is of the requests its rule set saw in that mode; `fraud` and `good` what labels say.
    """

    rule: str
    mode: str
    requests: int
    share: float
    amount_micros: dict[str, int]
    fraud: int
    good: int


class ReportAnswer(Answer):
    """Requests and matches of a rule set in whole days (UTC), today's up to now.

    `requests` by mode; `behind`: records of the ledger that are not projected yet.
    """

    ruleset: str
    from_: str = field(name="from")
    to: str
    requests: dict[str, int]
    rules: list[RuleReport]
    behind: int
