"""Find out which built-in lists a request is on, from its record.

A block entry denies whatever the rules say; an allow entry exempts from rules. So while an allow
list is in use, rules wait until the store has reported list membership.
"""

from __future__ import annotations

from functools import lru_cache

from gateway.core.commands import Outcome
from gateway.core.request_record import RequestRecord
from rules.ruleset import Rule
from rules.syntax import Node

BLOCKED = "@block:"
EXEMPT = "@allow:"
_ORG = "org"
"""Every request has one: so it is always looked up."""


def listing(asked: RequestRecord) -> bool:
    """Whether a request was looked up on a built-in list."""
    tallied = asked.tallied
    return tallied is not None and (BLOCKED + _ORG in tallied.reads or waits(asked))


def waits(asked: RequestRecord) -> bool:
    """Whether an allow list was in use, so that no rule spoke before the store did."""
    return asked.tallied is not None and EXEMPT + _ORG in asked.tallied.reads


def list_hits(asked: RequestRecord, out: Outcome) -> tuple[Rule, ...]:
    """List the built-in lists a request is on, each as a rule."""
    if asked.tallied is None:
        return ()
    pairs = zip(asked.tallied.reads, out.seen, strict=False)
    return tuple(_rule(name) for name, number in pairs if number and name.startswith("@"))


@lru_cache(maxsize=64)
def _rule(name: str) -> Rule:
    """A hit such as `@block:ip`."""
    which, _, what = name[1:].partition(":")
    reason = f"the {what} is on the {which} list"
    return Rule(name, which, "", Node("const", 0, value=True), reason, "", "", 0, ())
