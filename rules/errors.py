"""Errors of rules: the cause, the place, and a hint."""

from __future__ import annotations


class RuleError(Exception):
    """A rule is refused; `message` says why, `line` and `column` (from 1) where."""

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
    """An error in a condition, at an offset of its text; the file's place is not known yet."""

    def __init__(self, message: str, at: int, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.at = at
        self.hint = hint


def position(text: str, at: int) -> tuple[int, int]:
    """Return line and column, from 1, of an offset in a text."""
    before = text[:at]
    return before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1
