"""Faults. A denial is a value; an exception is a fault, with a code and a status hint."""

from __future__ import annotations


class SpendgateError(Exception):
    """A fault with a stable `code`, an HTTP `status` hint and a sentence for a person."""

    status = 500

    def __init__(self, code: str, detail: str, *, status: int | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        if status is not None:
            self.status = status


class CallerError(SpendgateError):
    """The caller sent something that cannot be done; nothing was changed.

    `pointer` is the JSON pointer of the offending member, or "" when it is the whole request; `at`
    the line and column in a text, where it is one.
    """

    status = 422

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int | None = None,
        pointer: str = "",
        at: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(code, detail, status=status)
        self.pointer = pointer
        self.at = at


class OperatorError(SpendgateError):
    """The deployment is set up wrongly; the message says what to change."""


class Unavailable(SpendgateError):
    """A part we depend on does not answer now; the same call may work later."""

    status = 503


class Overloaded(SpendgateError):
    """More is asked for than can be done now; nothing was changed, and the same may work soon."""

    status = 503

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__("overloaded", detail)
        self.retry_after_s = retry_after_s


class Bug(SpendgateError):
    """Something that cannot happen happened."""

    def __init__(self, detail: str) -> None:
        super().__init__("bug", detail)
