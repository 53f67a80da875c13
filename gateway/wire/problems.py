"""Faults as application/problem+json (RFC 9457), each with a stable type."""

from __future__ import annotations

from msgspec import UNSET, UnsetType, json

from gateway.errors import PROBLEMS, CallerError, SpendgateError
from gateway.wire.answers.base import Answer

TYPE_PREFIX = "urn:spendgate:problem:"


class ErrorItem(Answer):
    """One thing that was wrong: by JSON pointer into the body, or by query parameter.

    In a text `line` and `column` count from 1.
    """

    pointer: str
    detail: str
    parameter: str | UnsetType = UNSET
    line: int | UnsetType = UNSET
    column: int | UnsetType = UNSET


class Problem(Answer):
    """A fault; `retryable` says whether the same call may work later."""

    type: str
    title: str
    status: int
    detail: str
    retryable: bool
    errors: list[ErrorItem] | UnsetType = UNSET


def problem(error: SpendgateError) -> Problem:
    """Convert a fault to a problem. A bug reveals nothing of the inside."""
    detail = (
        "an unexpected error; please report it with the request id"
        if error.code == "bug"
        else error.detail
    )
    errors: list[ErrorItem] | UnsetType = UNSET
    if isinstance(error, CallerError) and (error.pointer or error.status == 422):
        errors = _errors(error)
    code = PROBLEMS.get(error.code, PROBLEMS["bug"])
    return Problem(
        type=TYPE_PREFIX + error.code,
        title=code.title,
        status=error.status,
        detail=detail,
        retryable=code.is_retryable,
        errors=errors,
    )


def _errors(error: CallerError) -> list[ErrorItem]:
    if error.faults:
        return [ErrorItem(pointer=pointer, detail=detail) for pointer, detail in error.faults]
    line, column = error.at or (UNSET, UNSET)
    parameter = error.parameter or UNSET
    one = ErrorItem(
        pointer=error.pointer, detail=error.detail, parameter=parameter, line=line, column=column
    )
    return [one]


def encode(value: Problem) -> bytes:
    """The problem as bytes; text that is no Unicode is shown escaped."""
    try:
        return json.encode(value)
    except UnicodeEncodeError:
        value.detail = value.detail.encode("ascii", "backslashreplace").decode()
        value.errors = UNSET
        return json.encode(value)
