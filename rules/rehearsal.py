"""Run a rule set's own examples: they must hold before it is accepted."""

from __future__ import annotations

from dataclasses import dataclass

from rules.engine import Engine
from rules.examples import Example
from rules.generate import Compiler, compiled
from rules.ruleset import Rule, RuleSet


@dataclass(frozen=True)
class Failure:
    """An example whose result is not the expected one."""

    rule: Rule
    example: Example
    found: str

    def __str__(self) -> str:
        note = f" ({self.example.note})" if self.example.note else ""
        return (
            f"line {self.example.line}: {self.rule.id}{note}: expected {self.example.expect},"
            f" found {self.found}"
        )


def rehearse(ruleset: RuleSet, compiler: Compiler = compiled) -> list[Failure]:
    """Return the examples that fail; each is checked on its own rule, before any expiry."""
    if not any(rule.examples for rule in ruleset.rules):
        return []
    engine, failures = Engine(ruleset, compiler=compiler), []
    for rule in ruleset.rules:
        for example in rule.examples:
            verdict = engine.evaluate(example.facts, example.currency, 0)
            found = "no match"
            if any(one is rule for one in verdict.matches):
                found = "match"
            elif any(one is rule for one in verdict.unknown):
                found = "unknown"
            if found != example.expect:
                failures.append(Failure(rule, example, found))
    return failures
