"""Types of the rule language, and the operators that take them."""

from __future__ import annotations

from enum import StrEnum


class Type(StrEnum):
    """Type of a part of a condition. Money is integer micro-units, a duration milliseconds."""

    bool = "bool"
    int = "int"
    float = "float"
    string = "string"
    money = "money"
    duration = "duration"


NUMBERS = (Type.int, Type.float)
WHOLE = (Type.int, Type.money, Type.duration)
"""Types whose values are integers."""
ORDERED = (Type.int, Type.float, Type.string, Type.money, Type.duration)

_I, _F, _M, _D = Type.int, Type.float, Type.money, Type.duration
_MIXED = {(_I, _I): _I, (_I, _F): _F, (_F, _I): _F, (_F, _F): _F}
_SUMS = {**_MIXED, (_M, _M): _M, (_D, _D): _D}

ARITHMETIC: dict[str, dict[tuple[Type, Type], Type]] = {
    "+": _SUMS,
    "-": _SUMS,
    "*": {
        **_MIXED,
        (_M, _I): _M,
        (_I, _M): _M,
        (_M, _F): _M,
        (_F, _M): _M,
        (_D, _I): _D,
        (_I, _D): _D,
    },
    "/": {
        **_MIXED,
        (_M, _M): _F,
        (_M, _I): _M,
        (_M, _F): _M,
        (_D, _D): _F,
        (_D, _I): _D,
    },
    "%": {(_I, _I): _I},
}
"""Type of the result, by operator and by the types of its operands."""


def comparable(left: Type, right: Type) -> bool:
    """Return whether values of two types can be compared, for equality or order."""
    return left == right or (left in NUMBERS and right in NUMBERS)
