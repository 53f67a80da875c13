"""Everything that is wrong with a body: each member that its type refuses, by JSON pointer.

The decoder stops at its first error. A refused body is therefore walked once more along its type;
that is slow, and only bodies that are refused pay for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Struct, UnsetType

from gateway.core.money import MAX_MICROS
from gateway.errors import CallerError, Fault
from gateway.wire.ids import Identified, IdFault, id_faults, token

MOST = 100
"""Faults that one refusal lists: a body of a thousand wrong items needs no longer answer."""

_PATH = re.compile(r" - at (?:`key` in )?`\$[^`]*`$")
_BEYOND = re.compile(rf"Integer value out of range|Expected `int`.* [<>]= -?{MAX_MICROS}\b")


def invalid(value: Any, kind: Any) -> CallerError:
    """Build the refusal of a value that its type does not accept, with all its faults.

    `value` is decoded JSON, `kind` the type of the body. The first fault gives code and detail.
    """
    found = list(islice(_faults(value, kind, ""), MOST))
    code, first = found[0]
    faults = tuple(fault for _, fault in found)
    return CallerError(code, first.detail, pointer=first.pointer, faults=faults)


def beyond(error: msgspec.ValidationError) -> CallerError:
    """Build the refusal of a number that is too long to be read at all."""
    code, fault = _fault(error, "")
    return CallerError(code, fault.detail)


def _faults(value: Any, kind: Any, pointer: str) -> Iterator[tuple[str, Fault]]:
    """Yield code and fault of each member that is wrong; of a whole only where its parts are."""
    error = _refused(value, kind)
    if error is None:
        return
    inner, seen = _container(kind), set[str]()
    for part, of in _parts(value, inner):
        for found in _faults(*of, _within(pointer, part)):
            seen.add(found[1].pointer)
            yield found
    if isinstance(value, dict) and _is_struct(inner):
        for name, detail in _misnamed(value, inner):
            seen.add(_within(pointer, name))
            yield "invalid_request", Fault(_within(pointer, name), detail)
        for fault in id_faults(inner, value) if issubclass(inner, Identified) else ():
            if pointer + fault.pointer not in seen:
                seen.add(pointer + fault.pointer)
                yield "invalid_request", Fault(pointer + fault.pointer, str(fault))
    if not seen:
        yield _fault(error, pointer, kind)


def _within(pointer: str, name: str) -> str:
    return pointer + "/" + token(name)


def _parts(value: Any, inner: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield each part of a value by name, with its value and type."""
    if isinstance(value, dict) and _is_struct(inner):
        for field in msgspec.structs.fields(inner):
            if field.encode_name in value:
                yield field.encode_name, (value[field.encode_name], field.type)
    elif isinstance(value, list) and get_origin(inner) is list:
        for at, one in enumerate(value):
            yield str(at), (one, get_args(inner)[0])
    elif isinstance(value, dict) and get_origin(inner) is dict:
        of_key, of_value = get_args(inner)
        for name, one in value.items():
            yield name, (name, of_key)
            yield name, (one, of_value)


def _misnamed(value: dict[str, Any], kind: type[Struct]) -> Iterator[tuple[str, str]]:
    """Yield missing and unknown members of a struct."""
    fields = msgspec.structs.fields(kind)
    known = {field.encode_name for field in fields}
    for field in fields:
        if field.required and field.encode_name not in value:
            yield field.encode_name, f"object missing required field {field.encode_name}"
    for name in value:
        if name not in known:
            yield name, f"object contains unknown field {name}"


def _container(kind: Any) -> Any:
    """The struct, list or map inside an annotation; None in one of simple values."""
    if get_origin(kind) is Annotated:
        return _container(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        found = (_container(one) for one in get_args(kind))
        return next((one for one in found if one is not None), None)
    return kind if _is_struct(kind) or get_origin(kind) in (list, dict) else None


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _refused(value: Any, kind: Any) -> msgspec.ValidationError | None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return error
    return None


def _fault(error: msgspec.ValidationError, pointer: str, kind: Any = None) -> tuple[str, Fault]:
    text, cause = str(error), error.__cause__
    code = "amount_out_of_range" if _BEYOND.match(text) else "invalid_request"
    detail = _PATH.sub("", text).replace("`", "")
    if allowed := _allowed(kind):
        detail += f"; it takes {', '.join(allowed)}"
    if isinstance(cause, IdFault):
        pointer += cause.pointer
    return code, Fault(pointer, detail[:1].lower() + detail[1:])


def _allowed(kind: Any) -> list[str]:
    """The values of an enum; [] for another type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return [str(one) for one in arguments]
    if origin is Annotated:
        return _allowed(arguments[0])
    if origin in (Union, UnionType):
        others = [one for one in arguments if one not in (type(None), UnsetType)]
        return [value for one in others for value in _allowed(one)]
    return []
