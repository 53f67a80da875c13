"""Compiled rule sets: facts in, a verdict out. Pure; evaluates every rule, returns every match."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from rules.generate import Compiled, Compiler, Program, compiled
from rules.ruleset import ACTIONS, Rule, RuleSet, inputs_of, reads
from rules.unknown import MISSING


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of a rule set: the strongest action that matched ("" for none), and all matches.

    `unknown` has the rules that are neither true nor false, since a fact that they read is missing.
    """

    action: str
    matches: tuple[Rule, ...]
    unknown: tuple[Rule, ...]


NOTHING = Verdict("", (), ())


class Engine:
    """Evaluates rules of one set. It is compiled once, outside the event loop, then immutable."""

    def __init__(
        self,
        ruleset: RuleSet,
        rules: tuple[Rule, ...] | None = None,
        compiler: Compiler = compiled,
    ) -> None:
        self.ruleset = ruleset
        self._rules = ruleset.rules if rules is None else rules
        inputs = inputs_of(self._rules)
        self._missing = {str(what): MISSING[kind] for what, kind in inputs.items()}
        self._bits = {name: 1 << number for number, name in enumerate(self._missing)}
        conditions = [rule.condition for rule in self._rules]
        self._program = Program(conditions, inputs, compiler)
        self._compiled: dict[str, Compiled] = {}
        self._take = _taker(tuple(self._missing))

    def evaluate(self, facts: Mapping[str, Any], currency: str, now_ms: int) -> Verdict:
        """Return the verdict on one request at `now_ms` (Unix ms), which ends exemptions.

        `facts` has values by the text of the input that reads them (`str`); amounts are in
        micro-units of `currency`. An absent fact is unknown.
        """
        compiled = self._compiled.get(currency)
        if compiled is None:
            compiled = self._compiled[currency] = self._program.of(currency)
        missing = compiled.always
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
        rules, matched = self._rules, set(hits)
        found = tuple(rules[n] for n in hits if not 0 < rules[n].expires_ms <= now_ms)
        unknown = tuple(rules[n] for n in open_ones if n not in matched)
        return Verdict(strongest(found), found, unknown)


def strongest(matches: Iterable[Rule]) -> str:
    """Return the strongest action of the matches; "" without any."""
    actions = {rule.action for rule in matches}
    return next((action for action in ACTIONS if action in actions), "")


class Phased:
    """A rule set in two phases: rules on the request alone, and rules on what the store counted.

    The first phase can refuse before money is held; if the second refuses, the hold is released.
    An exemption in the second phase moves all rules there, since it could outweigh each of them.
    """

    def __init__(self, ruleset: RuleSet, compiler: Compiler = compiled) -> None:
        self.ruleset = ruleset
        late = [rule for rule in ruleset.rules if _reads_store(rule)]
        if any(rule.action == "allow" for rule in late):
            late = list(ruleset.rules)
        names = {rule.id for rule in late}
        early = tuple(rule for rule in ruleset.rules if rule.id not in names)
        self.before = Engine(ruleset, early, compiler)
        self.after = Engine(ruleset, tuple(late), compiler) if late else None
        self.can_stop_after = any(rule.action in ("block", "challenge") for rule in late)
        self._places = {rule.id: place for place, rule in enumerate(ruleset.rules)}

    def merged(self, first: Sequence[str], second: Verdict) -> tuple[Rule, ...]:
        """Return the matches of both phases in the order of the rules; `first` has rule ids."""
        places = {*(self._places[name] for name in first)}
        places |= {self._places[rule.id] for rule in second.matches}
        return tuple(self.ruleset.rules[place] for place in sorted(places))


def _reads_store(rule: Rule) -> bool:
    return any(not isinstance(what, str) for what, _ in reads(rule.condition))


def _taker(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """Return a function that takes all values of these names from facts, or raises KeyError."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda facts: tuple(facts[name] for name in names)
