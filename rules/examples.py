"""Examples of a rule: facts, and the result that the rule must have for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rules.check import check
from rules.document import Part
from rules.errors import Fault
from rules.parser import parse
from rules.schema import Schema
from rules.syntax import Amount, Node
from rules.types import Type

PLAIN = {
    Type.bool: (bool,),
    Type.int: (int,),
    Type.float: (int, float),
    Type.string: (str,),
}
EXPECTED = ("match", "no match", "unknown")


@dataclass(frozen=True)
class Example:
    """Facts by the input that reads them, the currency of their amounts, and the expected result.

    Amounts are in micro-units, durations in ms; `expect` is one of EXPECTED.
    """

    facts: Mapping[str, object]
    currency: str
    expect: str
    line: int
    note: str


def example_of(part: Part, condition: Node, schema: Schema) -> Example:
    """Read an example of a rule with this condition. Raises RuleError."""
    fields = part.mapping(("facts", "expect", "note"), ("facts", "expect"))
    expect = fields["expect"].text()
    if expect not in EXPECTED:
        raise fields["expect"].wrong(f"unknown expectation {expect!r}", f"one of {EXPECTED}")
    read = {str(p.value) for p in condition.walk() if p.op in ("input", "has")}
    facts: dict[str, object] = {}
    currencies: set[str] = set()
    for name, value in fields["facts"].names().items():
        key, kind = _input(name, value, schema)
        if key not in read:
            raise value.wrong(f"the rule does not read {name}", "leave it out, or mend the rule")
        facts[key] = _value(value, kind, currencies)
    if len(currencies) > 1:
        raise fields["facts"].wrong("an example has one currency")
    note = fields["note"].text() if "note" in fields else ""
    currency = currencies.pop() if currencies else "USD"
    return Example(facts, currency, expect, part.node.start_mark.line + 1, note)


def _input(name: str, part: Part, schema: Schema) -> tuple[str, Type]:
    try:
        node = check(parse(name), schema)
    except Fault as fault:
        raise part.wrong(f"{name!r}: {fault.message}", fault.hint) from None
    if node.op != "input":
        raise part.wrong(f"{name!r} is nothing that a rule reads")
    return str(node.value), node.type


def _value(part: Part, kind: Type, currencies: set[str]) -> object:
    value = part.value
    if kind in (Type.money, Type.duration):
        try:
            found = parse(str(value))
        except Fault:
            found = None
        if kind is Type.money and found and isinstance(found.value, Amount):
            currencies.add(found.value.currency)
            return found.value.micros
        if kind is Type.duration and found and found.op == "duration":
            return found.value
        raise part.wrong(
            f"{value!r} is no {kind}", "such as 5 USD" if kind is Type.money else "10m"
        )
    if type(value) not in PLAIN[kind]:
        raise part.wrong(f"{value!r} is no {kind}")
    return value
