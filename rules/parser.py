"""Parse tokens to a tree by precedence climbing, bounded in parts and depth.

The bounds limit time and stack: a condition comes from outside.
"""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation

from rules.errors import Fault
from rules.lexer import Token, tokens
from rules.syntax import METHODS, UNITS_MS, Amount, Membership, Node, Velocity
from rules.unknown import LARGEST

MOST_PARTS = 1_000
DEEPEST = 40
LONGEST_WINDOW_MS = 90 * UNITS_MS["d"]

BINARY = {
    "||": 1,
    "&&": 2,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%"), 5),
}
"""Precedence of the operators: a higher one binds more tightly."""
METHODS_HINT = f"there are {', '.join(METHODS)}"
COUNTS = ("cost", "count", "denied", "distinct", "known", "events", "total", "age")
OF = ("distinct", "known", "events", "total")
"""Velocities with two names: of what is counted (member or event type), by which entity."""
WORDS = ("in", "by", "same")
VELOCITY_HINT = (
    'as in velocity.cost("key", 10m), velocity.count("ip", 1h),'
    ' velocity.distinct("asn", by "key", 24h), velocity.events("login", by "user", 1h)'
    ' or velocity.count("org", same "hour", 7d)'
)


def parse(text: str) -> Node:
    """Parse a condition to its tree. Raises Fault."""
    parser = _Parser(tokens(text))
    tree = parser.condition(0)
    parser.end()
    return tree


class _Parser:
    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._next = 0
        self._parts = 0
        self._nested = 0

    def _peek(self, *texts: str) -> bool:
        token = self._tokens[self._next]
        return token.text in texts and (token.kind == "op" or token.text in WORDS)

    def _take(self) -> Token:
        token = self._tokens[self._next]
        if token.kind != "end":
            self._next += 1
        return token

    def _expect(self, text: str, hint: str = "") -> Token:
        if not self._peek(text):
            raise self._unexpected(f"{text!r}", hint)
        return self._take()

    def _unexpected(self, wanted: str, hint: str = "") -> Fault:
        token = self._tokens[self._next]
        found = "the end" if token.kind == "end" else repr(token.text)
        return Fault(f"expected {wanted}, found {found}", token.at, hint)

    def end(self) -> None:
        """Check that no token is left. Raises Fault."""
        if self._tokens[self._next].kind != "end":
            raise self._unexpected("an operator or the end")

    def _node(self, op: str, at: int, args: tuple[Node, ...] = (), value: object = None) -> Node:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise Fault(
                f"the condition has more than {MOST_PARTS:,} parts", at, "split it into rules"
            )
        node = Node(op, at, args, value)
        if node.depth > DEEPEST:
            raise _too_deep(at)
        return node

    def condition(self, least: int) -> Node:
        """Parse an expression of operators with a precedence of at least `least`. Raises Fault.

        `? :` has the lowest precedence, 0.
        """
        self._nested += 1
        if self._nested > DEEPEST:
            raise _too_deep(self._tokens[self._next].at)
        left = self._unary()
        while (token := self._tokens[self._next]).text in BINARY and self._peek(token.text):
            binds = BINARY[token.text]
            if binds < max(least, 1):
                break
            self._take()
            left = self._binary(token, left, binds)
        if least == 0 and self._peek("?"):
            at = self._take().at
            then = self.condition(0)
            self._expect(":", "a choice is written as condition ? this : that")
            left = self._node("?:", at, (left, then, self.condition(0)))
        self._nested -= 1
        return left

    def _binary(self, token: Token, left: Node, binds: int) -> Node:
        op, at = token.text, token.at
        if op == "in":
            return self._member(left, at)
        right = self.condition(binds + 1)
        if op in ("&&", "||") and left.op == op:
            # Flatten into one part: else a long row of conditions would be nested too deep.
            return self._node(op, left.at, (*left.args, right))
        return self._node(op, at, (left, right))

    def _member(self, left: Node, at: int) -> Node:
        token = self._tokens[self._next]
        if token.kind == "list":
            self._take()
            if left.op != "input" or not isinstance(left.value, str):
                raise Fault("only a field can be looked up in a list", left.at)
            return self._node("input", left.at, value=Membership(left.value, token.text))
        self._expect("[", 'as in country in ["DE", "FR"], or in @name for a list')
        elements: list[Node] = []
        while not self._peek("]"):
            elements.append(self._unary())
            if not self._peek("]"):
                self._expect(",")
        self._take()
        return self._node("in", at, (left, self._node("set", token.at, tuple(elements))))

    def _unary(self) -> Node:
        if self._peek("!", "-"):
            token = self._take()
            self._nested += 1
            if self._nested > DEEPEST:
                raise _too_deep(token.at)
            operand = self._unary()
            self._nested -= 1
            if token.text == "-" and operand.op == "const" and type(operand.value) in (int, float):
                operand.value = -operand.value  # type: ignore[operator]  # a number by the check
                return operand
            return self._node("neg" if token.text == "-" else "!", token.at, (operand,))
        return self._methods(self._primary())

    def _methods(self, target: Node) -> Node:
        while self._peek("."):
            self._take()
            token = self._take()
            if token.text not in METHODS:
                raise Fault(f"unknown method {token.text!r}", token.at, METHODS_HINT)
            target = self._call(target, token)
        return target

    def _call(self, target: Node, method: Token) -> Node:
        self._expect("(")
        argument = self.condition(0)
        self._expect(")")
        return self._node(method.text, method.at, (target, argument))

    def _primary(self) -> Node:
        token = self._take()
        if token.kind == "number":
            return self._number(token)
        if token.kind == "string":
            return self._node("const", token.at, value=token.text)
        if token.kind == "name":
            return self._named(token)
        if token.kind == "op" and token.text == "(":
            inner = self.condition(0)
            self._expect(")")
            return inner
        self._next -= token.kind != "end"
        raise self._unexpected("a value", "a field, a number, a string or a condition in ( )")

    def _number(self, token: Token) -> Node:
        following = self._tokens[self._next]
        if not token.unit and following.kind == "name" and _is_currency(following.text):
            self._take()
            return self._node("const", token.at, value=_amount(token, following.text))
        if _is_currency(token.unit):
            return self._node("const", token.at, value=_amount(token, token.unit))
        if token.unit in UNITS_MS:
            # A duration has an op of its own, since its value alone would be an int.
            milliseconds = _whole(Decimal(token.text) * UNITS_MS[token.unit], token)
            return self._node("duration", token.at, value=milliseconds)
        unit, at = token.unit, token.at + len(token.text)
        if not unit and following.kind == "name" and following.text not in WORDS:
            unit, at = following.text, following.at
        if unit:
            hint = f"durations: {', '.join(UNITS_MS)}; money: a currency such as USD"
            raise Fault(f"unknown unit {unit!r}", at, hint)
        if "." in token.text:
            value = float(token.text)
            if math.isinf(value):
                raise Fault("the number is too large", token.at)
            return self._node("const", token.at, value=value)
        return self._node("const", token.at, value=_whole(Decimal(token.text), token))

    def _named(self, token: Token) -> Node:
        if token.text in ("true", "false"):
            return self._node("const", token.at, value=token.text == "true")
        if token.text == "has" and self._peek("("):
            return self._has(token)
        names = [token.text]
        while self._peek(".") and self._tokens[self._next + 1].kind == "name":
            method = self._tokens[self._next + 1]
            if self._tokens[self._next + 2].text == "(" and token.text != "velocity":
                break
            self._next += 2
            names.append(method.text)
        name = ".".join(names)
        if names[0] == "velocity":
            return self._velocity(token, names)
        if self._peek("("):
            hint = f"there are has(field), velocity.… and the methods {', '.join(METHODS)}"
            raise Fault(f"unknown function {name!r}", token.at, hint)
        return self._node("input", token.at, value=name)

    def _has(self, token: Token) -> Node:
        self._take()
        field = self.condition(0)
        self._expect(")")
        if field.op != "input":
            raise Fault("has() asks whether a field is there", field.at, "as in has(context.asn)")
        return self._node("has", token.at, value=field.value)

    def _velocity(self, token: Token, names: list[str]) -> Node:
        if len(names) != 2 or names[1] not in COUNTS or not self._peek("("):
            raise Fault(f"unknown velocity {'.'.join(names)!r}", token.at, VELOCITY_HINT)
        self._take()
        of = ""
        if names[1] in OF:
            of = self._quoted()
            self._expect(",", VELOCITY_HINT)
            self._expect("by", VELOCITY_HINT)
        entity = self._quoted()
        self._expect(",", VELOCITY_HINT)
        same = ""
        if names[1] in ("cost", "count") and self._peek("same"):
            self._take()
            same = self._quoted()
            self._expect(",", VELOCITY_HINT)
        window = self._primary()
        if window.op != "duration":
            raise Fault("a velocity's window is a duration", window.at, "such as 10m or 24h")
        window_ms = int(str(window.value))
        if not 0 < window_ms <= LONGEST_WINDOW_MS:
            raise Fault("a velocity's window is more than 0 and at most 90d", window.at)
        self._expect(")")
        return self._node("input", token.at, value=Velocity(names[1], entity, window_ms, of, same))

    def _quoted(self) -> str:
        token = self._take()
        if token.kind != "string":
            self._next -= token.kind != "end"
            raise self._unexpected("a name in quotes", VELOCITY_HINT)
        return token.text


def _too_deep(at: int) -> Fault:
    return Fault(f"the condition is nested deeper than {DEEPEST}", at, "split it into rules")


def _is_currency(unit: str) -> bool:
    return len(unit) == 3 and unit.isalpha() and unit.isupper()


def _amount(number: Token, currency: str) -> Amount:
    return Amount(_whole(Decimal(number.text) * 1_000_000, number), currency)


def _whole(value: Decimal, token: Token) -> int:
    try:
        if value != value.to_integral_value():
            raise Fault(f"{token.text} has more decimals than its smallest unit", token.at)
    except InvalidOperation:
        pass
    if not value <= LARGEST:
        raise Fault(f"{token.text} is too large", token.at, "whole numbers have 64 bits")
    return int(value)
