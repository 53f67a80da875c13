"""Parts of a condition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rules.types import Type

METHODS = ("startsWith", "endsWith", "contains")
"""Methods of a text."""


@dataclass(frozen=True)
class Amount:
    """A money literal, in micro-units of a currency."""

    micros: int
    currency: str


@dataclass(frozen=True)
class Velocity:
    """A velocity counter of an entity, over a window before the request.

    `kind` is `cost` (micros), `count` (requests), `denied` (refused requests), `distinct` (number
    of different `of`), `known` (whether the request's own `of` occurred), `events` (number of
    reported events of type `of`), `total` (their micros) or `age` (ms since the entity first
    occurred, without a pause as long as the window). With `same`, cost and count include only
    requests that have this property in common with the request.
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
    """A question whether a field's value is on a list."""

    field: str
    list: str

    def __str__(self) -> str:
        return f"{self.field} in @{self.list}"


Input = str | Velocity | Membership
"""Input of a rule: a field by its name, a velocity, or a membership."""

UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def duration_text(milliseconds: int) -> str:
    """Format a duration in its largest unit without a fraction."""
    for unit in ("d", "h", "m", "s"):
        if milliseconds % UNITS_MS[unit] == 0 and milliseconds:
            return f"{milliseconds // UNITS_MS[unit]}{unit}"
    return f"{milliseconds}ms"


@dataclass(slots=True)
class Node:
    """A part of a condition: an operator with its operands, or a leaf.

    Other values of `op` are `const` and `duration` (with a value), `input` (with what it reads),
    `has` (with the field that may be missing) and `set` (the constants after `in`). `at` is the
    offset in the text. The checker adds its `type`, the type of what it `reads`, and the `bound` of
    an integer: the largest absolute value that it can have.
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
        """Yield this part and all parts below it."""
        yield self
        for arg in self.args:
            yield from arg.walk()
