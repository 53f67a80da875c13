"""Join ids to names of balances, counters and books, and split them again.

A name is a sequence of parts joined by `/`. An id may be any text, so what would read as structure
is escaped in it: `%`, `/` and the braces of a hash tag become `%25`, `%2F`, `%7B` and `%7D`.
Escaping is injective and leaves no slash in a part. So two names are equal only if all their parts
are, and no name is a leading path of another with as many parts. Names are joined and split here,
in `gateway.store.keys` and in its copy `store/lua/include/keys.lua`, nowhere else.
"""

from __future__ import annotations

import re

SEPARATOR = "/"
COLLECTIVE = "~"
"""First mark of the books of free users: one account per plan, never one per user."""
OWN = "="
"""First mark of the books of orgs whose id begins with either mark: none can pass for a plan's."""

DUE_GRANT = "grant"

_special = re.compile(r"[%/{}]").search
_ESCAPES = str.maketrans({"%": "%25", "/": "%2F", "{": "%7B", "}": "%7D"})
_escape = re.compile(r"%(25|2F|7B|7D)")


def escape(part: str) -> str:
    """Escape an id to be a part of a name."""
    return part.translate(_ESCAPES) if _special(part) else part


def unescape(part: str) -> str:
    """Return the id that became this part."""
    return _escape.sub(lambda found: chr(int(found[1], 16)), part) if "%" in part else part


def join(*parts: str) -> str:
    """Join parts to a name; each part may be any text."""
    return SEPARATOR.join([escape(part) for part in parts])


def split(name: str) -> list[str]:
    """Split a name into its parts."""
    return [unescape(part) for part in name.split(SEPARATOR)]


def index_of(name: str) -> str:
    """Name the set of targets in use, of counters that differ in their target, the last part."""
    return f"t{SEPARATOR}{name.rpartition(SEPARATOR)[0]}"


def target_of(name: str) -> str:
    """Return the target of a counter: the last part of its name."""
    return unescape(name.rpartition(SEPARATOR)[2])


def kind_of(name: str) -> str:
    """Return the first part of a name: the kind of what it names."""
    return name.partition(SEPARATOR)[0]


def of_key(key: str) -> tuple[str, str]:
    """Split a key of the hot store, which begins with a hash tag, into its org and name."""
    _, org, name = key.split(SEPARATOR, 2)
    return unescape(org), name


def outcome(*of: str) -> str:
    """Name the place of a stored result, from which it is answered again."""
    return join("k", *of)


def collective_book(plan: str) -> str:
    """Name the account that all free users of a plan are booked on."""
    return f"{COLLECTIVE}{plan}"


def own_book(org: str) -> str:
    """Name the account of an org's money: its id, unless that reads as another book."""
    return f"{OWN}{org}" if org.startswith((COLLECTIVE, OWN)) else org


def is_collective(book: str) -> bool:
    """Return whether a book is one of free users."""
    return book.startswith(COLLECTIVE)


def due_grant(org: str, grant_id: str) -> str:
    """Name a grant that expires, among all that is due; a hold is named there by its id."""
    return join(DUE_GRANT, org, grant_id)


def grant_due(member: str) -> tuple[str, str] | None:
    """Return org and id of a grant that is named so; None where the name is a hold's."""
    kind, *rest = split(member)
    return (rest[0], rest[1]) if kind == DUE_GRANT and len(rest) == 2 else None
