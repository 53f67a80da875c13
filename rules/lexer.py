"""Split a condition into tokens, in one pass of one regular expression without backtracking."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from rules.errors import Fault

LONGEST = 10_000
"""Most characters of one condition."""

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+ | //[^\n]*)
  | (?P<number>[0-9]+(?:\.[0-9]+)?)(?P<unit>[A-Za-z_][A-Za-z0-9_]*)?
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | @(?P<list>[A-Za-z0-9_][A-Za-z0-9_.-]*)
  | (?P<string>"(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*')
  | (?P<op>&&|\|\||==|!=|<=|>=|[!<>?:+\-*/%(),.\[\]])
    """,
    re.VERBOSE,
)
_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True, slots=True)
class Token:
    """A token: `kind` is `number`, `name`, `list`, `string`, `op` or `end`.

    `at` is its offset in the text; `unit` is what follows a number without a space.
    """

    kind: str
    text: str
    at: int
    unit: str = ""


def tokens(text: str) -> list[Token]:
    """Return all tokens and an `end`. Raises Fault."""
    if len(text) > LONGEST:
        raise Fault(
            f"the condition has {len(text):,} characters; {LONGEST:,} are allowed",
            LONGEST,
            "split it into several rules",
        )
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _no_token(text, at)
        kind = "number" if match["number"] else str(match.lastgroup)
        if kind == "string":
            found.append(Token(kind, _unescaped(match["string"], at), at))
        elif kind != "space":
            found.append(Token(kind, match[kind], at, match["unit"] or ""))
        at = match.end()
    found.append(Token("end", "", len(text)))
    return found


def _unescaped(quoted: str, at: int) -> str:
    parts: list[str] = []
    characters = iter(enumerate(quoted[1:-1], at + 1))
    for where, character in characters:
        if character != "\\":
            parts.append(character)
            continue
        _, escaped = next(characters)
        if escaped not in _ESCAPES:
            raise Fault(f"unknown escape \\{escaped} in a string", where, "write \\\\ for a \\")
        parts.append(_ESCAPES[escaped])
    # Facts are NFC, too: otherwise equal texts in two forms would not match.
    return unicodedata.normalize("NFC", "".join(parts))


def _no_token(text: str, at: int) -> Fault:
    character = text[at]
    hints = {
        "=": "write == to compare",
        "&": "write && for and",
        "|": "write || for or",
        "$": "money is written as 5 USD",
        '"': "a string ends on its line, with the quote it began with",
        "'": "a string ends on its line, with the quote it began with",
    }
    what = "a string does not end" if character in "\"'" else f"unexpected {character!r}"
    return Fault(what, at, hints.get(character, ""))
