"""Rule sets: files that are checked in full, named by the hash of their text, and immutable."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property, lru_cache

from rules.check import check_condition
from rules.document import Document, Part, read
from rules.errors import Fault, RuleError
from rules.examples import Example, example_of
from rules.generate import read_by
from rules.parser import parse
from rules.schema import SCHEMA, Schema
from rules.syntax import Amount, Input, Node
from rules.types import Type

ACTIONS = ("allow", "block", "challenge", "review")
"""Actions of a rule, the strongest first. `allow` is an exemption and must expire."""
MOST_RULES = 2_000
MOST_INPUTS = 250
"""Most different inputs of a file. Python's functions take more arguments, readers do not."""
MOST_COUNTED = 50
"""Most windows and lists of a file: the store reads each of them for every request."""
MOST_PARTS = 20_000
"""Most operators and operands of all conditions of a file."""
LONGEST_FILE = 300_000
LONGEST_REASON = 300
KEYS = ("id", "action", "when", "reason", "description", "owner", "expires_at", "examples")


@dataclass(frozen=True)
class Rule:
    """A rule; `expires_ms` (Unix ms) ends an exemption and is 0 for every other action."""

    id: str
    action: str
    when: str
    condition: Node
    reason: str
    description: str
    owner: str
    expires_ms: int
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class RuleSet:
    """Rules in their order, named by the hash of their text."""

    id: str
    text: str
    rules: tuple[Rule, ...]

    @cached_property
    def inputs(self) -> dict[Input, Type]:
        """All inputs of the rules with their types, each once, in the order of first use."""
        return inputs_of(self.rules)

    @cached_property
    def currencies(self) -> tuple[str, ...]:
        """Currencies of the amounts in the rules."""
        parts = (part for rule in self.rules for part in rule.condition.walk())
        return tuple(dict.fromkeys(p.value.currency for p in parts if isinstance(p.value, Amount)))


def reads(condition: Node) -> Iterator[tuple[Input, Type]]:
    """Yield each input of a condition with its type, once for each use."""
    for part in condition.walk():
        if part.op in ("input", "has"):
            yield read_by(part), part.reads


def inputs_of(rules: Iterable[Rule]) -> dict[Input, Type]:
    """Return all inputs of these rules with their types, each once, in the order of first use."""
    return {what: kind for rule in rules for what, kind in reads(rule.condition)}


@lru_cache(maxsize=4)
def load(text: str, schema: Schema = SCHEMA) -> RuleSet:
    """Read a file of rules. Raises RuleError at the first error.

    A thousand rules take about a second, and a submission loads its file several times: the last
    four are cached.
    """
    if len(text) > LONGEST_FILE:
        raise RuleError(f"the file has more than {LONGEST_FILE:,} characters", 1, 1)
    document = read(text)
    top = document.top.mapping(("description", "rules"), ("rules",))
    parts = top["rules"].items()
    if len(parts) > MOST_RULES:
        raise top["rules"].wrong(f"there are more than {MOST_RULES:,} rules")
    found = tuple(_rule(document, part, schema) for part in parts)
    _check_ids(found, parts)
    if sum(1 for rule in found for _ in rule.condition.walk()) > MOST_PARTS:
        hint = "every request is assessed by all of them"
        raise top["rules"].wrong(f"the rules have more than {MOST_PARTS:,} parts", hint)
    made = RuleSet("rs_" + hashlib.sha256(text.encode()).hexdigest()[:20], text, found)
    if len(made.inputs) > MOST_INPUTS:
        raise top["rules"].wrong(f"the rules read more than {MOST_INPUTS} different things")
    if sum(not isinstance(what, str) for what in made.inputs) > MOST_COUNTED:
        hint = "the store counts, or looks up, each of them with every request"
        raise top["rules"].wrong(f"the rules read more than {MOST_COUNTED} windows and lists", hint)
    return made


def _check_ids(rules: tuple[Rule, ...], parts: list[Part]) -> None:
    seen: set[str] = set()
    for rule, part in zip(rules, parts, strict=True):
        if rule.id in seen:
            raise part.wrong(f"there are two rules {rule.id!r}", "each has an id of its own")
        seen.add(rule.id)


def _rule(document: Document, part: Part, schema: Schema) -> Rule:
    fields = part.mapping(KEYS, ("id", "action", "when", "reason"))
    action = fields["action"].text()
    if action not in ACTIONS:
        hint = f"one of {', '.join(ACTIONS)}"
        raise fields["action"].wrong(f"unknown action {action!r}", hint)
    condition = _condition(document, fields["when"], schema)
    examples = fields["examples"].items() if "examples" in fields else []
    return Rule(
        fields["id"].name(),
        action,
        fields["when"].text(),
        condition,
        _reason(fields["reason"]),
        fields["description"].text() if "description" in fields else "",
        fields["owner"].text() if "owner" in fields else "",
        _expiry(action, part, fields.get("expires_at")),
        tuple(example_of(example, condition, schema) for example in examples),
    )


def _condition(document: Document, part: Part, schema: Schema) -> Node:
    text = part.text().rstrip()
    try:
        return check_condition(parse(text), schema)
    except Fault as fault:
        line, column = document.position(part, text, fault.at)
        raise RuleError(fault.message, line, column, fault.hint) from None


def _reason(part: Part) -> str:
    text = part.text()
    if len(text) > LONGEST_REASON:
        raise part.wrong(f"a reason has at most {LONGEST_REASON} characters", "callers read it")
    return text


def _expiry(action: str, rule: Part, part: Part | None) -> int:
    if action != "allow":
        if part is not None:
            raise part.wrong("only an exemption expires", "a rule is retired with its rule set")
        return 0
    if part is None:
        raise rule.wrong("an exemption must expire", "add expires_at: 2027-01-31")
    value = part.value
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise part.wrong("expires_at is no date", "such as 2027-01-31") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime):
        raise part.wrong("expires_at is no date", "such as 2027-01-31")
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    # At least 1, since 0 means that a rule never expires.
    return max(1, int(aware.timestamp() * 1000))
