"""A compiled rule set: facts in, a verdict out. Pure; every rule is looked at, every match told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from rules.generate import compile_rules
from rules.ruleset import ACTIONS, Rule, RuleSet
from rules.unknown import MISSING

ELSEWHERE = ""
"""Stands for every currency that no rule names."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule set says: the strongest action that matched ("" for none), and all matches.

    `unknown` are rules that could not be told, because something they read is missing. `by` is the
    rule whose action it is.
    """

    action: str
    matches: tuple[Rule, ...]
    unknown: tuple[Rule, ...]

    @property
    def by(self) -> Rule | None:
        """The first rule of that action."""
        return next((rule for rule in self.matches if rule.action == self.action), None)


NOTHING = Verdict("", (), ())


class Engine:
    """Evaluates one rule set. Made once, off the loop; then it only reads."""

    def __init__(self, ruleset: RuleSet) -> None:
        self.ruleset = ruleset
        self._missing = {str(what): MISSING[kind] for what, kind in ruleset.inputs.items()}
        self._bits = {name: 1 << number for number, name in enumerate(self._missing)}
        conditions = [rule.condition for rule in ruleset.rules]
        self._compiled = {
            currency: compile_rules(conditions, ruleset.inputs, currency)
            for currency in (*ruleset.currencies, ELSEWHERE)
        }
        self._elsewhere = self._compiled[ELSEWHERE]
        self._can_fail = 1 << len(self._missing)
        self._take = _taker(tuple(self._missing))

    def evaluate(self, facts: Mapping[str, Any], currency: str, now_ms: int) -> Verdict:
        """The verdict on one request at a moment (Unix ms).

        `facts` are values by the text of what reads them (`str` of an input), amounts in
        micro-units of `currency`; what is not among them is not known.
        """
        compiled = self._compiled.get(currency, self._elsewhere)
        missing = self._can_fail if compiled.can_fail else 0
        try:
            values = self._take(facts)
        except KeyError:
            values = self._take({**self._missing, **facts})
            for name in self._missing.keys() - facts.keys():
                missing |= self._bits[name]
        hits = compiled.hits(*values)
        open_ones = compiled.undecided(missing, *values) if missing else ()
        if not hits and not open_ones:
            return NOTHING
        return self._verdict(hits, open_ones, now_ms)

    def _verdict(self, hits: Sequence[int], open_ones: Sequence[int], now_ms: int) -> Verdict:
        rules = self.ruleset.rules
        found = [rules[n] for n in hits if not 0 < rules[n].expires_ms <= now_ms]
        actions = {rule.action for rule in found}
        action = next((action for action in ACTIONS if action in actions), "")
        matched = set(hits)
        unknown = tuple(rules[n] for n in open_ones if n not in matched)
        return Verdict(action, tuple(found), unknown)


def _taker(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """What takes the values of these names, all of them, or raises KeyError."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda facts: tuple(facts[name] for name in names)
