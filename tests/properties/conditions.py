"""Random conditions in the part of the language that CEL has, too, and random facts."""

from __future__ import annotations

import random

from rules.schema import Field, Schema
from rules.types import Type

FIELDS = {
    "f.i": Type.int, "f.j": Type.int, "f.k": Type.int,
    "f.x": Type.float, "f.y": Type.float,
    "f.s": Type.string, "f.t": Type.string,
    "f.b": Type.bool, "f.c": Type.bool,
}  # fmt: skip
SCHEMA = Schema({name: Field(name, kind, "") for name, kind in FIELDS.items()})
BINDS = {
    "?:": 0, "||": 1, "&&": 2,
    "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3, "in": 3,
    "+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "!": 6, "neg": 6, "atom": 8,
}  # fmt: skip
RELATIONS = ("==", "!=", "<", "<=", ">", ">=")
EDGES = (0, 1, -1, 2, 3, 7, -7, 2**31, 2**53, -(2**53), 2**62, 2**63 - 1)
TEXTS = ("", "a", "ab", "abc", "b", 'q"', "\\", "é")

Text = tuple[str, int]
"""A condition as text, and how tightly its outermost operator binds."""


class Conditions:
    """A stream of conditions, written with as few parentheses as their meaning allows."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def condition(self, depth: int = 4) -> str:
        return self._bool(depth)[0]

    def facts(self) -> dict[str, object]:
        """Values of some fields, others missing."""
        chance = self.chance
        values = {
            Type.int: lambda: chance.choice([n for n in EDGES if abs(n) <= 2**53]),
            Type.float: lambda: chance.choice([0.0, 1.5, -2.25, 1e9, 3.0]),
            Type.string: lambda: chance.choice(TEXTS),
            Type.bool: lambda: chance.random() < 0.5,
        }
        return {n: values[kind]() for n, kind in FIELDS.items() if chance.random() < 0.8}

    def _of(self, kind: Type, depth: int) -> Text:
        if depth > 1 and self.chance.random() < 0.08:
            return self._choice(kind, depth)
        if kind is Type.int:
            return self._int(depth)
        if kind is Type.float:
            return self._float(depth)
        return self._string() if kind is Type.string else self._bool(depth)

    def _in_parens(self, text: Text, least: int) -> str:
        written, binds = text
        needs = binds < least or self.chance.random() < 0.05
        return f"({written})" if needs else written

    def _infix(self, op: str, left: Text, right: Text) -> Text:
        binds = BINDS[op]
        words = self._in_parens(left, binds), op, self._in_parens(right, binds + 1)
        return " ".join(words), binds

    def _choice(self, kind: Type, depth: int) -> Text:
        parts = (self._bool(depth - 1), self._of(kind, depth - 1), self._of(kind, depth - 1))
        condition, then, other = (self._in_parens(part, 1) for part in parts)
        return f"{condition} ? {then} : {other}", BINDS["?:"]

    def _bool(self, depth: int) -> Text:
        chance = self.chance
        if depth <= 0:
            return chance.choice(["true", "false", "f.b", "f.c"]), BINDS["atom"]
        kind = chance.randrange(10)
        if kind < 3:
            return self._infix(chance.choice(["&&", "||"]), *self._two(Type.bool, depth))
        if kind == 3:
            return "!" + self._in_parens(self._bool(depth - 1), BINDS["!"]), BINDS["!"]
        if kind == 4:
            return f"has({chance.choice(list(FIELDS))})", BINDS["atom"]
        if kind == 5:
            method = chance.choice(["startsWith", "endsWith", "contains"])
            target = self._in_parens(self._string(), BINDS["atom"])
            return f"{target}.{method}({self._string()[0]})", BINDS["atom"]
        if kind == 6:
            of = chance.choice([Type.int, Type.string])
            left = self._in_parens(self._of(of, depth - 1), BINDS["in"])
            return f"{left} in {self._set(of)}", BINDS["in"]
        of = chance.choice([Type.int, Type.int, Type.float, Type.string, Type.bool])
        relations = RELATIONS if of is not Type.bool else RELATIONS[:2]
        return self._infix(chance.choice(relations), *self._two(of, depth))

    def _two(self, kind: Type, depth: int) -> tuple[Text, Text]:
        return self._of(kind, depth - 1), self._of(kind, depth - 1)

    def _set(self, kind: Type) -> str:
        one = self._literal if kind is Type.int else self._quoted
        return "[" + ", ".join(one() for _ in range(self.chance.randrange(1, 4))) + "]"

    def _int(self, depth: int) -> Text:
        chance = self.chance
        if depth <= 0 or chance.random() < 0.4:
            name = chance.choice(["f.i", "f.j", "f.k"])
            return (name if chance.random() < 0.6 else self._literal()), BINDS["atom"]
        if chance.random() < 0.1:
            return "-" + self._in_parens(self._int(depth - 1), BINDS["atom"]), BINDS["neg"]
        return self._infix(chance.choice("+-*/%"), *self._two(Type.int, depth))

    def _float(self, depth: int) -> Text:
        # Not divided: a division by zero is infinite there, and unknown here.
        chance = self.chance
        if depth <= 0 or chance.random() < 0.5:
            return chance.choice(["f.x", "f.y", "1.5", "0.0", "1000000.25"]), BINDS["atom"]
        return self._infix(chance.choice("+-*"), *self._two(Type.float, depth))

    def _string(self) -> Text:
        name = self.chance.choice(["f.s", "f.t"])
        return (name if self.chance.random() < 0.6 else self._quoted()), BINDS["atom"]

    def _literal(self) -> str:
        return str(abs(self.chance.choice(EDGES)))

    def _quoted(self) -> str:
        text = self.chance.choice(TEXTS).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{text}"'
