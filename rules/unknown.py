"""The values of what is not known, and what operators make of them.

Each type has one that Python's own comparisons treat as is wanted, at no cost: no comparison with
not-a-number is true but `!=`; NO_TEXT is a text that no request and no rule can hold. So what rests
on something missing is never true by error, and what cannot be told so cheaply is told by the
functions here.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from typing import Any, Final

from rules.types import Type

LARGEST = 2**63 - 1
"""Whole numbers are those of 64 bits, as CEL's; what leaves them is unknown."""
NO_NUMBER: Final = float("nan")
NO_TEXT: Final = "\ud800"
"""Half a character: no text that was decoded holds it."""
UNKNOWN: Final = None
"""Neither true nor false."""
MISSING: dict[Type, Any] = {
    **dict.fromkeys(Type, NO_NUMBER),
    Type.string: NO_TEXT,
    Type.bool: UNKNOWN,
}
"""What stands for a missing value of a type."""


def is_known(value: Any) -> bool:
    """Whether a value of any type is known."""
    if isinstance(value, float):
        return not isnan(value)
    return value is not UNKNOWN and value is not NO_TEXT


def fit(value: Any) -> Any:
    """A whole number, unless it needs more than 64 bits."""
    return value if -LARGEST - 1 <= value <= LARGEST else NO_NUMBER


def divide(left: Any, right: Any) -> Any:
    """Whole numbers, cut towards zero."""
    if isnan(left) or isnan(right) or right == 0:
        return NO_NUMBER
    found = abs(left) // abs(right)
    return fit(found if (left < 0) == (right < 0) else -found)


def remainder(left: Any, right: Any) -> Any:
    """What a division cut towards zero leaves; it has the sign of the left."""
    if isnan(left) or isnan(right) or right == 0:
        return NO_NUMBER
    found = abs(left) % abs(right)
    return -found if left < 0 else found


def ratio(left: Any, right: Any) -> Any:
    """A division of which a fraction comes out."""
    return NO_NUMBER if right == 0 else left / right


def scale(left: Any, right: Any) -> Any:
    """A product with a fraction, cut towards zero to whole units."""
    found = left * right
    return int(found) if -LARGEST <= found <= LARGEST else NO_NUMBER


def scale_down(left: Any, right: Any) -> Any:
    """A division by a fraction, cut towards zero to whole units."""
    return scale(ratio(left, right), 1.0)


def _strict(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool | None]:
    def told(left: Any, right: Any) -> bool | None:
        return compare(left, right) if is_known(left) and is_known(right) else UNKNOWN

    return told


COMPARED: dict[str, Callable[[Any, Any], bool | None]] = {
    "==": _strict(lambda left, right: bool(left == right)),
    "!=": _strict(lambda left, right: bool(left != right)),
    "<": _strict(lambda left, right: bool(left < right)),
    "<=": _strict(lambda left, right: bool(left <= right)),
    ">": _strict(lambda left, right: bool(left > right)),
    ">=": _strict(lambda left, right: bool(left >= right)),
    "startsWith": _strict(lambda left, right: bool(left.startswith(right))),
    "endsWith": _strict(lambda left, right: bool(left.endswith(right))),
    "contains": _strict(lambda left, right: right in left),
    "in": _strict(lambda left, right: left in right),
}
"""True, false or unknown, by operator."""


def both(*parts: bool | None) -> bool | None:
    """False when one is, else unknown when one is."""
    return False if False in parts else UNKNOWN if UNKNOWN in parts else True


def either(*parts: bool | None) -> bool | None:
    """True when one is, else unknown when one is."""
    return True if True in parts else UNKNOWN if UNKNOWN in parts else False


def negate(part: bool | None) -> bool | None:
    """The opposite of what is known."""
    return UNKNOWN if part is UNKNOWN else not part


def pick(condition: bool | None, then: Any, other: Any, missing: Any) -> Any:
    """One of two, by what is known; else what stands for a missing one."""
    return missing if condition is UNKNOWN else then if condition else other
