"""What a rule set costs a decision, beside Google's CEL on the same conditions and facts."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from functools import partial

from cel_expr_python import cel

from gateway.flows.risk.compile_process import compile_elsewhere
from loadtests.pauses import longest_pause_ms
from rules.engine import Engine, Phased
from rules.ruleset import RuleSet, load
from rules.schema import Field, Schema
from rules.types import Type

FACTS = 40
ROUNDS = 7
SCHEMA = Schema(
    {
        f"f.{kind[0]}{n}": Field(f"f.{kind[0]}{n}", Type(kind), "")
        for kind, count in (("int", 20), ("string", 12), ("bool", 8))
        for n in range(count)
    }
)
VALUES: dict[str, object] = {
    name: {Type.int: 100, Type.string: "gpt-5-mini", Type.bool: True}[field.type]
    for name, field in SCHEMA.fields.items()
}


def conditions(count: int) -> list[str]:
    """Conditions that read all facts, each decided by its last part: none can stop early."""
    return [
        f"f.i{n % 20} > {n % 90} && f.s{n % 12} != 'o{n}' && f.i{(n + 7) % 20} > {200 + n}"
        if n % 3
        else f"f.b{n % 8} && (f.s{n % 12}.startsWith('o{n}') || f.i{(n + 3) % 20} == {1000 + n})"
        for n in range(count)
    ]


def ruleset(count: int) -> RuleSet:
    """Rules with these conditions."""
    lines = [
        f"  - {{id: r{n}, action: block, when: {condition!r}, reason: x}}"
        for n, condition in enumerate(c.replace("'", '"') for c in conditions(count))
    ]
    return load("\n".join(["rules:", *lines]), SCHEMA)


def _us(work: Callable[[], object], times: int) -> float:
    """Microseconds of one call: the best of some rounds, as the machine is shared."""
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(times):
            work()
        found.append((time.perf_counter() - started) / times * 1e6)
    return min(found)


def measure(count: int) -> None:
    """Print what so many rules cost."""
    rules = ruleset(count)
    compiled = []
    for _ in range(3):
        started = time.perf_counter()
        engine = Engine(rules)
        compiled.append((time.perf_counter() - started) * 1000)
    times = max(20, 200_000 // count)
    whole = _us(lambda: engine.evaluate(VALUES, "EUR", 0), times)
    lacking = {name: value for n, (name, value) in enumerate(VALUES.items()) if n % 10}
    partly = _us(lambda: engine.evaluate(lacking, "EUR", 0), times)
    data = {"f": {name.partition(".")[2]: value for name, value in VALUES.items()}}
    environment = cel.NewEnv(variables={"f": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)})
    expressions = [environment.compile(condition) for condition in conditions(count)]

    def by_cel() -> None:
        activation = environment.Activation(data)
        for expression in expressions:
            expression.eval(activation)

    theirs = _us(by_cel, max(3, times // 100))
    print(
        f"{count:>5} rules        {whole:.1f} us a decision, {partly:.1f} with a tenth of the facts"
        f" missing; CEL {theirs:,.0f}; compiled in {statistics.median(compiled):.1f} ms"
    )


def _taken_over(text: str) -> Phased:
    return Phased(load(text, SCHEMA), compile_elsewhere)


def main() -> None:
    """Print the figures for 10, 100 and 1000 rules, and what taking them over costs others."""
    gc.disable()
    for count in (10, 100, 1000):
        measure(count)
    for count in (100, 1000):
        text = ruleset(count).text
        pause = longest_pause_ms(partial(_taken_over, text), ROUNDS)
        print(f"{count:>5} rules        longest pause of the loop {pause:.1f} ms (median)")


if __name__ == "__main__":
    main()
