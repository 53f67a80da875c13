"""Ids of the caller's world: what people, identity providers and price lists call things.

An id is any text of 1 to 255 bytes of UTF-8 in its composed form (NFC), visible from end to end:
`openai/gpt-4o`, `auth0|64f0c1`, `jane.doe@example.com`, `張三`. Look-alikes are different ids.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import UNSET, Meta, Struct
from msgspec.structs import force_setattr

MAX_BYTES = 255
END = r"$(?!\n)"
"""The end of a pattern: `$` alone would let a final newline pass."""
NAME_PATTERN = r"^[A-Za-z0-9_.:-]{1,128}" + END
VISIBLE = r"^[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?" + END
"""Pattern of an id in the OpenAPI document; `check_id` checks the rest."""

_IS_ID = "x-spendgate-id"
Id = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_BYTES,
        description="An id of your world: text of 1 to 255 bytes in NFC, without control or"
        " invisible characters, without space at its ends.",
        extra_json_schema={"pattern": VISIBLE, "not": {"enum": [".", ".."]}},
        extra={_IS_ID: True},
    ),
]
Name = Annotated[str, Meta(pattern=NAME_PATTERN, description="A name you choose.")]

_ordinary = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?").fullmatch
_JOINERS = "\u200c\u200d"
"""Zero-width joiners separate words of some scripts; all other format characters only hide."""
_HIDDEN = {
    "Cc": "a control character",
    "Cf": "an invisible character",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
    "Cs": "half a character",
    "Cn": "an unassigned character",
}
_PATH_STEPS = (".", "..")


class IdFault(ValueError):
    """A text that cannot be an id; `pointer` leads from the message to it."""

    def __init__(self, detail: str, pointer: str = "") -> None:
        super().__init__(detail)
        self.pointer = pointer


def check_id(text: str) -> str:
    """The id in its composed form (NFC). Raises IdFault, which says what is wrong."""
    if _ordinary(text):
        if text in _PATH_STEPS:
            raise IdFault(f"an id cannot be {text!r}")
        return text
    if not text:
        raise IdFault("an id has at least one character")
    text = unicodedata.normalize("NFC", text)
    for at, character in enumerate(text):
        what = _HIDDEN.get(unicodedata.category(character))
        if character == "\ufffd":
            what = "a replacement character: its text was damaged on the way"
        if what is not None and character not in _JOINERS:
            raise IdFault(f"an id cannot have {what} (U+{ord(character):04X} at {at})")
    if text != text.strip():
        raise IdFault("an id has no space at its ends")
    if len(text.encode()) > MAX_BYTES:
        raise IdFault(f"an id has at most {MAX_BYTES} bytes of utf-8")
    return text


class Message(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A request body. `null` for an optional member means absent."""


class Identified(Message, frozen=True):
    """A message with ids of the caller's world among its members: each is checked and composed."""

    def __post_init__(self) -> None:
        kind = type(self)
        fields = _fields_of.get(kind)
        if fields is None:
            fields = _fields_of[kind] = id_fields(kind)
        for name, is_single in fields:
            value = getattr(self, name)
            if value is None or value is UNSET:
                continue
            if is_single and _ordinary(value) and value not in _PATH_STEPS:
                continue
            force_setattr(self, name, _checked(value, f"/{name}"))


def _checked(value: Any, pointer: str) -> Any:
    """An id, a list of ids, or a map by ids, each composed. Raises IdFault."""
    if isinstance(value, list):
        return [_checked(one, f"{pointer}/{at}") for at, one in enumerate(value)]
    if isinstance(value, dict):
        found = {_checked(one, f"{pointer}/{token(one)}"): of for one, of in value.items()}
        if len(found) < len(value):
            raise IdFault("two of these ids are one in their composed form (NFC)", pointer)
        return found
    try:
        return check_id(value)
    except IdFault as fault:
        raise IdFault(str(fault), pointer) from None


def id_faults(kind: type[Struct], value: dict[str, Any]) -> Iterator[IdFault]:
    """Yield the faults of all ids in a decoded object of a message's kind, with pointers."""
    for name, _ in id_fields(kind):
        for step, one in _ids_in(value.get(name)):
            try:
                check_id(one)
            except IdFault as fault:
                yield IdFault(str(fault), f"/{name}" + step)


def _ids_in(value: Any) -> Iterator[tuple[str, str]]:
    """Yield each id of a member by the pointer that leads to it from there."""
    if isinstance(value, str):
        yield "", value
    elif isinstance(value, list | dict):
        for place, one in enumerate(value):
            if isinstance(one, str):
                yield "/" + (token(one) if isinstance(value, dict) else str(place)), one


_fields_of: dict[type[Struct], tuple[tuple[str, bool], ...]] = {}


def id_fields(kind: type[Struct]) -> tuple[tuple[str, bool], ...]:
    """The members of a message that are ids, lists of ids or maps by ids; whether each is one."""
    found = [(field.name, _holds_ids(field.type)) for field in msgspec.structs.fields(kind)]
    return tuple((name, how == "one") for name, how in found if how)


def _holds_ids(annotation: Any) -> str:
    """ "one" for an id, "many" for a list of ids or a map by ids, "" for anything else."""
    if get_origin(annotation) is Annotated:
        inner, *metas = get_args(annotation)
        if any(isinstance(meta, Meta) and (meta.extra or {}).get(_IS_ID) for meta in metas):
            return "one"
        return _holds_ids(inner)
    arguments = get_args(annotation)
    if get_origin(annotation) in (list, dict):
        return "many" if _holds_ids(arguments[0]) else ""
    return next((how for one in arguments if (how := _holds_ids(one))), "")


def token(part: str) -> str:
    """A member's name as a step of a JSON pointer (RFC 6901)."""
    return part.replace("~", "~0").replace("/", "~1")
