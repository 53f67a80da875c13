"""The parts that a condition consists of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rules.types import Type

METHODS = ("startsWith", "endsWith", "contains")
"""What can be asked of a text."""


@dataclass(frozen=True)
class Amount:
    """A money literal: whole micro-units of a currency."""

    micros: int
    currency: str


@dataclass(frozen=True)
class Velocity:
    """What happened with an entity in a window before the request.

    `kind` is `cost` (micros), `count` (requests), `denied` (those that were refused), `distinct`
    (how many different `of`), `known` (whether the request's own `of` was met), `events` (how many
    of the type `of`, told from outside), `total` (their micros) or `age` (ms since it was first
    met, unless it was away for so long). Cost and count may be of requests of the `same` kind only.
    """

    kind: str
    entity: str
    window_ms: int
    of: str = ""
    same: str = ""

    def __str__(self) -> str:
        of = f'"{self.of}", by ' if self.of else ""
        same = f'same "{self.same}", ' if self.same else ""
        return f'velocity.{self.kind}({of}"{self.entity}", {same}{duration_text(self.window_ms)})'


@dataclass(frozen=True)
class Membership:
    """Whether a field's value is on a list."""

    field: str
    list: str

    def __str__(self) -> str:
        return f"{self.field} in @{self.list}"


Input = str | Velocity | Membership
"""What a rule reads: a field by its name, a velocity, or a membership."""

UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def duration_text(milliseconds: int) -> str:
    """A duration in the largest unit that is whole."""
    for unit in ("d", "h", "m", "s"):
        if milliseconds % UNITS_MS[unit] == 0 and milliseconds:
            return f"{milliseconds // UNITS_MS[unit]}{unit}"
    return f"{milliseconds}ms"


@dataclass(slots=True)
class Node:
    """A part. `op` says what it is:

    `const` (its value), `input` (what it reads), `has` (the field that may be missing), `set`
    (constants behind `in`), or an operator with its operands. `at` is its offset in the text;
    the checker adds its type, that of what it `reads`, and, of whole numbers, the largest absolute
    value it can have.
    """

    op: str
    at: int
    args: tuple[Node, ...] = ()
    value: object = None
    depth: int = field(init=False)
    type: Type = Type.bool
    reads: Type = Type.bool
    bound: int = 0

    def __post_init__(self) -> None:
        self.depth = 1 + max((arg.depth for arg in self.args), default=0)

    def walk(self) -> Iterator[Node]:
        """This part and all below it."""
        yield self
        for arg in self.args:
            yield from arg.walk()
