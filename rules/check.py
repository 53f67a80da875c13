"""Type check of conditions: every name is known, every operator takes its operands."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from rules.errors import Fault
from rules.schema import LONGEST_NAME, Schema
from rules.syntax import METHODS, Amount, Membership, Node, Velocity
from rules.types import ARITHMETIC, NUMBERS, ORDERED, WHOLE, Type, comparable
from rules.unknown import LARGEST

LARGEST_FACT = 2**53
"""Bound of all facts: amounts, counts and times stay where a double is exact."""
VELOCITIES = {
    "cost": Type.money,
    "total": Type.money,
    "known": Type.bool,
    "age": Type.duration,
}
"""Types of velocities that are not plain integers."""
CONSTANTS = {bool: Type.bool, int: Type.int, float: Type.float, str: Type.string}


def check(node: Node, schema: Schema) -> Node:
    """Set the type, and the bound, of each part of a tree; return the tree. Raises Fault."""
    for arg in node.args:
        check(arg, schema)
    node.type = _type_of(node, schema)
    if node.type in WHOLE:
        node.bound = min(_bound(node), LARGEST)
    return node


def check_condition(node: Node, schema: Schema) -> Node:
    """Check a complete condition, which must be a bool. Raises Fault."""
    check(node, schema)
    if node.type is not Type.bool:
        raise Fault(f"a condition is true or false, this is {_a(node.type)}", node.at)
    return node


def _type_of(node: Node, schema: Schema) -> Type:
    op, value = node.op, node.value
    if op == "const":
        return Type.money if isinstance(value, Amount) else CONSTANTS[type(value)]
    if op == "duration":
        return Type.duration
    if op in ("input", "has"):
        node.reads = _input(node, schema)
        return Type.bool if op == "has" else node.reads
    if op == "set":
        return _set(node)
    if op in ("&&", "||", "!"):
        for arg in node.args:
            _want(arg, (Type.bool,), op)
        return Type.bool
    if op == "neg":
        return _want(node.args[0], (*NUMBERS, Type.money, Type.duration), "-")
    if op == "?:":
        return _choice(node)
    return _binary(node)


def _binary(node: Node) -> Type:
    op, (left, right) = node.op, node.args
    if op in ARITHMETIC:
        found = ARITHMETIC[op].get((left.type, right.type))
        if found is None:
            raise Fault(
                f"{_a(left.type)} {op} {_a(right.type)} means nothing", node.at, _hint(node)
            )
        return found
    if op in METHODS:
        _want(left, (Type.string,), op)
        _want(right, (Type.string,), op)
        return Type.bool
    if not comparable(left.type, right.type):
        message = f"{_a(left.type)} cannot be compared with {_a(right.type)}"
        raise Fault(message, node.at, _hint(node))
    if op in ("<", "<=", ">", ">="):
        _want(left, ORDERED, op)
    return Type.bool


def _choice(node: Node) -> Type:
    condition, then, other = node.args
    _want(condition, (Type.bool,), "?")
    if then.type is not other.type:
        message = f"a choice between {_a(then.type)} and {_a(other.type)}"
        raise Fault(message, other.at, "both sides have the same type")
    return then.type


def _set(node: Node) -> Type:
    if not node.args:
        raise Fault("nothing is in an empty list", node.at)
    first = node.args[0].type
    for arg in node.args:
        if arg.op != "const" or isinstance(arg.value, bool | Amount):
            raise Fault("a list holds numbers or strings", arg.at)
        if arg.type is not first:
            raise Fault(f"a list of {first}s holds no {arg.type}", arg.at)
    return first


def _input(node: Node, schema: Schema) -> Type:
    value = node.value
    if isinstance(value, Velocity):
        if value.kind in ("events", "total") and value.of not in schema.events:
            hint = _similar(value.of, schema.events)
            raise Fault(f"unknown type of event {value.of!r}", node.at, hint)
        if value.same and value.same not in schema.sames:
            hint = _similar(value.same, schema.sames)
            raise Fault(f"requests have no {value.same!r} in common", node.at, hint)
        of = (value.of,) if value.kind in ("distinct", "known") else ()
        for name in (value.entity, *of):
            if name not in schema.entities:
                raise Fault(f"unknown entity {name!r}", node.at, _similar(name, schema.entities))
        if value.of == value.entity:
            raise Fault(f"there is one {value.of} by {value.entity}", node.at)
        return VELOCITIES.get(value.kind, Type.int)
    name = value.field if isinstance(value, Membership) else str(value)
    field = schema.field(name)
    if field is None:
        raise Fault(f"unknown field {name!r}", node.at, _similar(name, schema.fields))
    if isinstance(value, Membership):
        if value.list in schema.built_in_lists:
            hint = "whoever stands there is met before all rules"
            raise Fault(f"no rule reads the built-in list {value.list}", node.at, hint)
        if len(value.list) > LONGEST_NAME:
            raise Fault(f"a list's name has at most {LONGEST_NAME} characters", node.at)
        if field.type is not Type.string and not field.is_name:
            raise Fault(f"{name} is {_a(field.type)}: it is on no list", node.at)
        return Type.bool
    return field.type


def _want(node: Node, types: tuple[Type, ...], op: str) -> Type:
    if node.type not in types:
        wanted = " or ".join(types)
        raise Fault(f"{op} takes {wanted}, this is {_a(node.type)}", node.at)
    return node.type


def _bound(node: Node) -> int:
    """Return an upper bound of the absolute value of an integer part."""
    bounds = [arg.bound for arg in node.args]
    if node.op in ("const", "duration"):
        value = node.value
        return abs(value.micros if isinstance(value, Amount) else int(str(value)))
    if node.op in {"+", "-"}:
        return sum(bounds)
    if node.op == "*" and all(arg.type in WHOLE for arg in node.args):
        return bounds[0] * bounds[1]
    if node.op == "?:":
        return max(bounds[1:])
    if node.op in ("neg", "/", "%", "set") and node.args[-1].type in WHOLE:
        return bounds[0]
    return LARGEST_FACT if node.op == "input" else LARGEST


def _hint(node: Node) -> str:
    types = {arg.type for arg in node.args}
    if Type.money in types and types & set(NUMBERS):
        return "money is written with its currency, as 5 USD"
    if Type.duration in types and types & set(NUMBERS):
        return "durations are written with their unit, as 10m"
    return ""


def _similar(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(known), 1, 0.5)
    return f"did you mean {found[0]}?" if found else f"known: {', '.join(known)}"


def _a(kind: Type) -> str:
    return f"an {kind}" if kind is Type.int else str(kind) if kind is Type.money else f"a {kind}"
