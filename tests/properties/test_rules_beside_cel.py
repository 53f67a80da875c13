"""Where a condition means something in CEL, too, Google's own implementation agrees with ours."""

from __future__ import annotations

from typing import Any

from cel_expr_python import cel

from rules.check import check_condition
from rules.generate import Program
from rules.parser import parse
from rules.ruleset import reads
from rules.unknown import MISSING
from tests.properties.conditions import SCHEMA, Conditions

CONDITIONS = 7_000
FACTS_EACH = 3
ENVIRONMENT = cel.NewEnv(variables={"f": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)})


def ours(text: str) -> Any:
    """What a condition says of facts: True, False, or None where it is unknown."""
    condition = check_condition(parse(text), SCHEMA)
    inputs = dict(reads(condition))
    compiled = Program([condition], inputs).of("USD")

    def told(facts: dict[str, object]) -> bool | None:
        values = [facts.get(str(name), MISSING[kind]) for name, kind in inputs.items()]
        missing = sum(1 << n for n, name in enumerate(inputs) if name not in facts)
        if compiled.hits(*values):
            return True
        if compiled.undecided(missing | 1 << len(inputs), *values):
            return None
        return False

    return told


def google(text: str) -> Any:
    expression = ENVIRONMENT.compile(text)

    def told(facts: dict[str, object]) -> bool | None:
        data = {"f": {name.partition(".")[2]: value for name, value in facts.items()}}
        found = expression.eval(data=data)
        return None if found.type() == cel.Type.ERROR else found.value()

    return told


def test_every_condition_means_what_cel_makes_of_it() -> None:
    conditions, told = Conditions(7), {True: 0, False: 0, None: 0}
    for _ in range(CONDITIONS):
        text = conditions.condition()
        mine, theirs = ours(text), google(text)
        for _ in range(FACTS_EACH):
            facts = conditions.facts()
            assert mine(facts) == theirs(facts), (text, facts)
            told[mine(facts)] += 1
    assert sum(told.values()) >= 20_000
    assert min(told.values()) > 2_000, told
