"""Placeholders of missing values, and operators that compute with them.

The placeholder of a type makes Python's own comparisons false at no cost: NaN compares true only
under `!=`, and NO_TEXT is a text that no request and no rule can hold. A condition on a missing
value is therefore never true by mistake. The functions here cover the cases that a plain comparison
cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from typing import Any, Final

from rules.types import Type

LARGEST = 2**63 - 1
"""Integers have 64 bits, as in CEL; a result beyond them is unknown."""
NO_NUMBER: Final = float("nan")
NO_TEXT: Final = "\ud800"
"""Half of a surrogate pair: no decoded text contains it."""
UNKNOWN: Final = None
"""Truth value of a condition that is neither true nor false."""
MISSING: dict[Type, Any] = {
    **dict.fromkeys(Type, NO_NUMBER),
    Type.string: NO_TEXT,
    Type.bool: UNKNOWN,
}
"""Placeholder of a missing value, by type."""


def is_known(value: Any) -> bool:
    """Return whether a value of any type is known."""
    if isinstance(value, float):
        return not isnan(value)
    return value is not UNKNOWN and value is not NO_TEXT


def fit(value: Any) -> Any:
    """Return an integer, or NO_NUMBER if it needs more than 64 bits."""
    return value if -LARGEST - 1 <= value <= LARGEST else NO_NUMBER


def divide(left: Any, right: Any) -> Any:
    """Divide integers, rounding towards zero; NO_NUMBER for a division by 0."""
    if isnan(left) or isnan(right) or right == 0:
        return NO_NUMBER
    found = abs(left) // abs(right)
    return fit(found if (left < 0) == (right < 0) else -found)


def remainder(left: Any, right: Any) -> Any:
    """Return the remainder of `divide`; it has the sign of the left operand."""
    if isnan(left) or isnan(right) or right == 0:
        return NO_NUMBER
    found = abs(left) % abs(right)
    return -found if left < 0 else found


def ratio(left: Any, right: Any) -> Any:
    """Divide to a float; NO_NUMBER for a division by 0."""
    return NO_NUMBER if right == 0 else left / right


def scale(left: Any, right: Any) -> Any:
    """Multiply by a float, rounding towards zero to an integer."""
    found = left * right
    return int(found) if -LARGEST <= found <= LARGEST else NO_NUMBER


def scale_down(left: Any, right: Any) -> Any:
    """Divide by a float, rounding towards zero to an integer."""
    return scale(ratio(left, right), 1.0)


def _strict(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool | None]:
    def compared(left: Any, right: Any) -> bool | None:
        return compare(left, right) if is_known(left) and is_known(right) else UNKNOWN

    return compared


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
"""Comparisons with three results (true, false, unknown), by operator."""


def both(*parts: bool | None) -> bool | None:
    """Conjunction: false if any part is, else unknown if any part is."""
    return False if False in parts else UNKNOWN if UNKNOWN in parts else True


def either(*parts: bool | None) -> bool | None:
    """Disjunction: true if any part is, else unknown if any part is."""
    return True if True in parts else UNKNOWN if UNKNOWN in parts else False


def negate(part: bool | None) -> bool | None:
    """Negation; unknown stays unknown."""
    return UNKNOWN if part is UNKNOWN else not part


def pick(condition: bool | None, then: Any, other: Any, missing: Any) -> Any:
    """Return one of two values by a condition, or `missing` if the condition is unknown."""
    return missing if condition is UNKNOWN else then if condition else other
