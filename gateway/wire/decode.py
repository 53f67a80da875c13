"""Decode bodies: bytes become a request, or a CallerError."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from msgspec import UnsetType

from gateway.core.money import MAX_MICROS
from gateway.errors import CallerError
from gateway.wire.ids import IdFault, token

T = TypeVar("T")
S = TypeVar("S")

_PATH = re.compile(r" - at (`key` in )?`\$([^`]*)`$")
_PART = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")
_FIELD = re.compile(r"Object (?:contains unknown|missing required) field `(.*)`", re.DOTALL)
_BEYOND = re.compile(rf"Integer value out of range|Expected `int`.* [<>]= -?{MAX_MICROS}\b")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_END_MS = 253_402_300_800_000
"""The year 10000, which no RFC 3339 time can name."""
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_any = msgspec.json.Decoder()


def decode(body: bytes, kind: type[T]) -> T:
    """Decode a JSON body. Raises CallerError: 400 for malformed JSON, 422 for a wrong shape."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        message: T = decoder.decode(body)
        return message
    except msgspec.ValidationError as error:
        return _look_again(body, kind, error)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise _malformed(error) from None


def convert(value: Any, kind: type[T]) -> T:
    """Check an already decoded value, which may be taken apart. Raises CallerError 422."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _invalid(error, value, kind) from None


def _look_again(body: bytes, kind: type[T], found: msgspec.ValidationError) -> T:
    """Check the body once it is read to its end: of duplicate names only the last counts."""
    try:
        value = _any.decode(body)
    except msgspec.ValidationError:
        # A number larger than any type holds: the first error is all that can be said.
        raise _invalid(found, None, kind) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as broken:
        # The types were checked as far as the text went; beyond that it is no JSON at all.
        raise _malformed(broken) from None
    return convert(value, kind)


def _malformed(error: Exception) -> CallerError:
    return CallerError("malformed_json", f"the body is not valid json: {error}")


def _invalid(error: msgspec.ValidationError, value: Any, kind: type[Any]) -> CallerError:
    """Turn a validation error into a CallerError with a JSON pointer."""
    text, cause = str(error), error.__cause__
    code = "amount_out_of_range" if _BEYOND.match(text) else "invalid_request"
    detail = _PATH.sub("", text).replace("`", "")
    pointer = _pointer(text, value, kind)
    if isinstance(cause, IdFault):
        pointer += cause.pointer
    return CallerError(code, detail[:1].lower() + detail[1:], pointer=pointer)


def _pointer(text: str, value: Any, kind: type[Any]) -> str:
    """The JSON pointer of the member an error speaks of."""
    pointer, here = "", value
    found = _PATH.search(text)
    path = found.group(2) + ("[...]" if found.group(1) else "") if found else ""
    for name, index in _PART.findall(path):
        if not name and not index and not isinstance(here, dict):
            return pointer
        part = name or index or _offender(value, here, kind, text)
        pointer += "/" + token(part)
        here = _step(here, part)
    field = _FIELD.fullmatch(_PATH.sub("", text))
    return pointer + (f"/{token(field.group(1))}" if field else "")


def _step(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return value.get(part)
    if isinstance(value, list):
        return value[int(part)]
    return None


def _offender(value: Any, members: dict[str, Any], kind: type[Any], text: str) -> str:
    """The member of a map inside `value` that an error speaks of: halved until it is alone."""
    left = list(members.items())
    while len(left) > 1:
        half = left[: len(left) // 2]
        members.clear()
        members.update(half)
        if _error(value, kind) != text:
            half = left[len(left) // 2 :]
        left = half
    members.clear()
    members.update(left)
    return left[0][0]


def _error(value: Any, kind: type[Any]) -> str:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return str(error)
    return ""


def keep(said: S | UnsetType | None, before: S, default: S) -> S:
    """Merge a member of a PUT: its value, the default for null, else the value before."""
    if isinstance(said, UnsetType):
        return before
    return default if said is None else said


def milliseconds(at: datetime | None) -> int | None:
    """A time as Unix ms, or None. Raises CallerError outside 1970 to 9999 in UTC."""
    if at is None:
        return None
    ms = (at - _EPOCH) // _MS
    if not 0 <= ms < _END_MS:
        raise CallerError(
            "invalid_request", f"the time {at.isoformat()} lies outside 1970 to 9999 in UTC"
        )
    return ms
