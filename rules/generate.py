"""Compile typed trees to one Python function: a rule costs a comparison or two.

Each condition becomes two expressions: one is truthy if the condition is true, the other if it is
false. They hardly ever check whether a value is there: the placeholder of a missing value makes
both falsy, and then the condition is unknown. The second expression is evaluated only if something
is missing. A rule's text enters the code only as the literal of a constant; the code sees its
arguments and the functions of `unknown`, not even builtins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

from rules import unknown
from rules.syntax import Amount, Input, Node
from rules.types import WHOLE, Type
from rules.unknown import LARGEST

OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
TEXT_METHODS = {"startsWith": "startswith", "endsWith": "endswith"}
NAMES = {
    **{op: f"c{number}" for number, op in enumerate(unknown.COMPARED)},
    "&&": "both",
    "||": "either",
    "!": "negate",
    "?:": "pick",
}
"""Names in the code of the functions that compute with three values."""
SCOPE: dict[str, Any] = {
    "U": unknown.UNKNOWN,
    "N": unknown.NO_NUMBER,
    "S": unknown.NO_TEXT,
    **{NAMES[op]: compare for op, compare in unknown.COMPARED.items()},
    **{name: getattr(unknown, name) for name in ("both", "either", "negate", "pick")},
    **{
        name: getattr(unknown, name)
        for name in ("fit", "divide", "remainder", "ratio", "scale", "scale_down")
    },
}
"""Everything that the code can name, beside its arguments and its amounts (`m0` and so on)."""


@dataclass(frozen=True)
class Compiled:
    """Conditions as functions of the values of their inputs, in order, for one currency.

    A missing value is given as the placeholder of its type. `hits(*values)` returns the indexes of
    the true conditions. `undecided(missing, *values)` returns those of conditions that are not
    false; the ones that are not true either are unknown. Bit n of `missing` says that input n is
    missing. `undecided` evaluates a condition only if it reads a missing input, or if it can be
    unknown without one: the bits in `always` cover those.
    """

    hits: Callable[..., list[int]]
    undecided: Callable[..., list[int]]
    always: int


Compiler = Callable[[str], CodeType]
"""Compiles source to code. A long source blocks a process: a worker lets another one do it."""


def compiled(source: str) -> CodeType:
    """Compile in this process."""
    return compile(source, "<rules>", "exec")


class Program:
    """Conditions compiled once for all currencies: amounts are names that `of` binds."""

    def __init__(
        self, conditions: Sequence[Node], inputs: Iterable[Input], compiler: Compiler = compiled
    ) -> None:
        slots = {value: number for number, value in enumerate(inputs)}
        writer = _Writer({value: f"f{number}" for value, number in slots.items()})
        arguments = ", ".join(f"f{number}" for number in slots.values())
        fails, foreign = 1 << len(slots), 2 << len(slots)
        hits, undecided, self._fails = [], [], 0
        for condition in conditions:
            mask = 0
            for part in condition.walk():
                if part.op == "input":
                    mask |= 1 << slots[read_by(part)]
                elif isinstance(part.value, Amount):
                    mask |= foreign
                elif _can_fail(part):
                    mask |= fails
            self._fails |= mask & fails
            hits.append(writer.true(condition))
            undecided.append(f"missing & {mask} and not {writer.false(condition)}")
        self._foreign = foreign
        self._amounts = writer.amounts
        self._hits = compiler(_source(arguments, hits))
        self._undecided = compiler(_source(f"missing, {arguments}", undecided))

    def of(self, currency: str) -> Compiled:
        """Return the conditions for requests in a currency; amounts in any other are unknown."""
        scope: dict[str, Any] = {"__builtins__": {}, **SCOPE}
        is_foreign = False
        for amount, name in self._amounts.items():
            is_foreign |= amount.currency != currency
            is_own = amount.currency == currency
            scope[name] = amount.micros if is_own else unknown.NO_NUMBER
        always = self._fails | (self._foreign if is_foreign else 0)
        return Compiled(_made(self._hits, scope), _made(self._undecided, scope), always)


def _can_fail(part: Node) -> bool:
    """Return whether a part may be unknown although all its inputs are known."""
    is_bounded = part.type not in WHOLE or part.bound < LARGEST
    return part.op in ("/", "%") or (part.op in ("+", "-", "*", "neg") and not is_bounded)


def _source(arguments: str, parts: Sequence[str]) -> str:
    lines = [f"def found({arguments}):", " hits = []"]
    lines += [f" if {part}: hits.append({number})" for number, part in enumerate(parts)]
    return "\n".join([*lines, " return hits"])


def _made(code: CodeType, scope: Mapping[str, Any]) -> Callable[..., list[int]]:
    own = dict(scope)
    exec(code, own)  # noqa: S102  our own code; of the rules' text it has constants only
    made: Callable[..., list[int]] = own["found"]
    return made


def read_by(part: Node) -> Input:
    """Return what an `input` or a `has` reads."""
    value: Input = part.value  # type: ignore[assignment]  # an input's value is what it reads
    return value


class _Writer:
    def __init__(self, slots: Mapping[Input, str]) -> None:
        self._slots = slots
        self.amounts: dict[Amount, str] = {}

    def true(self, node: Node) -> str:
        """Return an expression that is truthy if the part is true."""
        op, args = node.op, node.args
        if op in ("&&", "||"):
            return "(" + _word(op).join(self.true(arg) for arg in args) + ")"
        if op == "!":
            return self.false(args[0])
        if op == "has":
            return f"({self._presence(node)})"
        if op == "in":
            return f"({self.value(args[0])} in {_elements(args[1])})"
        return self._short(op, args) or f"({self.value(node)} is True)"

    def false(self, node: Node) -> str:
        """Return an expression that is truthy if the part is false."""
        op, args = node.op, node.args
        if op in ("&&", "||"):
            other = "||" if op == "&&" else "&&"
            return "(" + _word(other).join(self.false(arg) for arg in args) + ")"
        if op == "!":
            return self.true(args[0])
        if op == "has":
            return f"(not ({self._presence(node)}))"
        short = self._short(OPPOSITE[op], args) if op in OPPOSITE else ""
        return short or f"({self.value(node)} is False)"

    def _short(self, op: str, args: tuple[Node, ...]) -> str:
        """Return Python's own comparison if it is false for every missing value; else ""."""
        if args and args[0].type is Type.string:
            return self._short_of_texts(op, args)
        if op not in OPPOSITE or args[0].type is Type.bool:
            return ""
        left, right = self.value(args[0]), self.value(args[1])
        if op != "!=":
            return f"({left} {op} {right})"
        # NaN != x is true for every x, so a missing value would match: use < or > instead.
        return f"({left} < {right} or {left} > {right})" if _is_plain(*args) else ""

    def _short_of_texts(self, op: str, args: tuple[Node, ...]) -> str:
        left, right = args
        if left.op != "input" or right.op != "const" or not right.value:
            return ""
        field, text = self.value(left), repr(right.value)
        if op in TEXT_METHODS:
            return f"{field}.{TEXT_METHODS[op]}({text})"
        if op == "contains":
            return f"({text} in {field})"
        if op == "==":
            return f"({field} == {text})"
        return f"({field} is not S and {field} {op} {text})"

    def _presence(self, node: Node) -> str:
        slot = self._slots[read_by(node)]
        number, text = f"{slot} == {slot}", f"{slot} is not S"
        return {Type.string: text, Type.bool: f"{slot} is not U"}.get(node.reads, number)

    def value(self, node: Node) -> str:
        """Return an expression for the part's value, or for the placeholder if it is unknown."""
        op, args = node.op, node.args
        if op in ("const", "duration"):
            return self._constant(node.value)
        if op == "input":
            return self._slots[read_by(node)]
        if op == "has":
            return self.true(node)
        if op == "in":
            return f"{NAMES[op]}({self.value(args[0])}, {_elements(args[1])})"
        if op in NAMES:
            values = [self.value(arg) for arg in args]
            values += [_missing(node.type)] if op == "?:" else []
            return f"{NAMES[op]}({', '.join(values)})"
        if op == "neg":
            return self._fitting(node, f"(-{self.value(args[0])})")
        return self._arithmetic(node)

    def _arithmetic(self, node: Node) -> str:
        op, (left, right) = node.op, node.args
        pair = f"{self.value(left)}, {self.value(right)}"
        if op == "%":
            return f"remainder({pair})"
        if op == "/":
            if node.type not in WHOLE:
                return f"ratio({pair})"
            return f"{'divide' if right.type in WHOLE else 'scale_down'}({pair})"
        if op == "*" and node.type in WHOLE and Type.float in (left.type, right.type):
            return f"scale({pair})"
        return self._fitting(node, f"({self.value(left)} {op} {self.value(right)})")

    def _constant(self, value: object) -> str:
        if isinstance(value, Amount):
            return self.amounts.setdefault(value, f"m{len(self.amounts)}")
        return repr(value)

    @staticmethod
    def _fitting(node: Node, text: str) -> str:
        return f"fit({text})" if node.type in WHOLE and node.bound >= LARGEST else text


def _word(op: str) -> str:
    return " and " if op == "&&" else " or "


def _is_plain(*nodes: Node) -> bool:
    """Return whether the code of these parts may be repeated at no cost."""
    return all(node.op in ("input", "const", "duration") for node in nodes)


def _missing(kind: Type) -> str:
    return {Type.string: "S", Type.bool: "U"}.get(kind, "N")


def _elements(node: Node) -> str:
    return "{" + ", ".join(repr(arg.value) for arg in node.args) + "}"
