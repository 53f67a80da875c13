"""Bytes to messages. Whatever comes in, out comes a message or a CallerError."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from gateway.errors import CallerError

T = TypeVar("T")

_PATH = re.compile(r" - at `(?:key in )?\$(.*?)`$")
_PART = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")
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
        raise _explain(error, body) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as error:
        raise CallerError(
            "malformed_json", f"the body is not valid json: {error}", status=400
        ) from None


def convert(value: Any, kind: type[T]) -> T:
    """Check an already decoded value. Raises CallerError 422."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise CallerError(
            "invalid_request", _lower(_message(error)), pointer=_pointer(str(error), value)
        ) from None


def _explain(error: msgspec.ValidationError, body: bytes) -> CallerError:
    try:
        value = _any.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError) as broken:
        # The types were checked as far as the text went; beyond that it is no JSON at all.
        return CallerError("malformed_json", f"the body is not valid json: {broken}", status=400)
    return CallerError(
        "invalid_request", _lower(_message(error)), pointer=_pointer(str(error), value)
    )


def _message(error: Exception) -> str:
    return _PATH.sub("", str(error)).replace("`", "")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _pointer(text: str, value: Any) -> str:
    """The JSON pointer of the member an error speaks of."""
    found = _PATH.search(text)
    parts = _PART.findall(found.group(1)) if found else []
    pointer = ""
    for name, index in parts:
        part = name or index
        if not part:
            part = _offender(value)
        pointer += "/" + part.replace("~", "~0").replace("/", "~1")
        value = _step(value, part)
    unknown = re.match(r"Object (?:contains unknown|missing required) field `(.*?)`", text)
    if unknown:
        pointer += "/" + unknown.group(1).replace("~", "~0").replace("/", "~1")
    return pointer


def _step(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return value.get(part)
    if isinstance(value, list) and part.isdigit() and int(part) < len(value):
        return value[int(part)]
    return None


def _offender(value: Any) -> str:
    """The member of a map whose value is not what a map of counts holds."""
    if isinstance(value, dict):
        for name, member in value.items():
            if (
                isinstance(member, bool)
                or not isinstance(member, int | dict)
                or (isinstance(member, int) and member < 0)
            ):
                return str(name)
        return next(iter(value), "")
    return ""


def milliseconds(at: datetime | None) -> int | None:
    """A time as Unix ms, or None. Raises CallerError beyond what a store can count."""
    if at is None:
        return None
    ms = round(at.timestamp() * 1000)
    if ms < 0:
        raise CallerError("invalid_request", f"the time {at.isoformat()} lies before 1970")
    return ms
