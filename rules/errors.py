"""What is wrong with a rule, where, and what to do about it."""

from __future__ import annotations


class RuleError(Exception):
    """A rule that cannot be taken: the message says why, `line` and `column` (from 1) where."""

    def __init__(self, message: str, line: int, column: int, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
        self.hint = hint

    def __str__(self) -> str:
        told = f"line {self.line}, column {self.column}: {self.message}"
        return f"{told}; {self.hint}" if self.hint else told


class Fault(Exception):
    """As RuleError, at an offset of a condition that does not know where in a file it stands."""

    def __init__(self, message: str, at: int, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.at = at
        self.hint = hint


def position(text: str, at: int) -> tuple[int, int]:
    """Line and column, from 1, of an offset in a text."""
    before = text[:at]
    return before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1
