"""Decode bodies: bytes become a request, or a CallerError."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from msgspec import UnsetType

from gateway.errors import CallerError
from gateway.wire.faults import beyond, invalid

T = TypeVar("T")
S = TypeVar("S")

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
    """Check an already decoded value. Raises CallerError 422, which lists all its faults."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise invalid(value, kind) from None


def _look_again(body: bytes, kind: type[T], found: msgspec.ValidationError) -> T:
    """Check the body once it is read to its end: of duplicate names only the last counts."""
    try:
        value = _any.decode(body)
    except msgspec.ValidationError:
        # A number larger than any type holds: the first error is all that can be said.
        raise beyond(found) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as broken:
        # The types were checked as far as the text went; beyond that it is no JSON at all.
        raise _malformed(broken) from None
    return convert(value, kind)


def _malformed(error: Exception) -> CallerError:
    return CallerError("malformed_json", f"the body is not valid json: {error}")


def keep(said: S | UnsetType | None, before: S, default: S) -> S:
    """Merge a member of a PUT: its value, the default for null, else the value before."""
    if isinstance(said, UnsetType):
        return before
    return default if said is None else said


def kept_or_needed(said: S | UnsetType, before: S | None, pointer: str) -> S:
    """Merge a member of a PUT that has no default: its value, else the value before.

    Raises CallerError 422 where there is neither.
    """
    if not isinstance(said, UnsetType):
        return said
    if before is None:
        detail = f"object missing required field {pointer[1:]}"
        raise CallerError("invalid_request", detail, pointer=pointer)
    return before


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
