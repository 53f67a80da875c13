"""The kinds of balances that requests draw from, as one table, and the only parser of their names.

A new source of funds is a row here and its place in `funding.waterfall`.
"""

from __future__ import annotations

from msgspec import Struct

from gateway.core import names


class SourceKind(Struct, frozen=True):
    """A kind of balance.

    `account` is the kind of its account in the ledger. `label` is what callers see of it: "" shows
    the reference alone. One that `is_quota` comes back by itself and starts at 0. One with
    `has_version` makes plans stale when it comes or goes; what is left of it at its end is booked
    as breakage.
    """

    account: str
    label: str
    is_quota: bool = False
    has_version: bool = False


GRANT, INCLUDED, ADJUSTMENTS, CREDIT_LINE = "g", "i", "adjustments", "credit_line"
SOURCE_KINDS: dict[str, SourceKind] = {
    INCLUDED: SourceKind("included", "included:", is_quota=True),
    GRANT: SourceKind("grant", "", has_version=True),
    ADJUSTMENTS: SourceKind("adjustments", "adjustments"),
    CREDIT_LINE: SourceKind("credit_line", "credit_line"),
}
"""Every kind by the first part of its balances' names, in the order of the waterfall."""
PREFIXES = {row.account: prefix for prefix, row in SOURCE_KINDS.items()}
SHORTFALL = "shortfall"
"""The balance of what an org used and could not pay: a debt, no source."""


class Parsed(Struct, frozen=True):
    """A balance's name taken apart: its kind and reference, a grant's or quota's ("" for none)."""

    kind: SourceKind
    ref: str


def parse(name: str) -> Parsed | None:
    """Take a balance's name apart; None where it is no source's."""
    row = SOURCE_KINDS.get(names.kind_of(name))
    if row is None:
        return None
    return Parsed(row, name[len(names.kind_of(name)) + 1 :])


def is_quota(name: str) -> bool:
    """Return whether this balance is an included quota."""
    parsed = parse(name)
    return parsed is not None and parsed.kind.is_quota


def has_version(name: str) -> bool:
    """Return whether plans depend on which balances of this kind there are."""
    parsed = parse(name)
    return parsed is not None and parsed.kind.has_version


def account_of(name: str) -> tuple[str, str]:
    """Return the kind of the account of a balance, and the `ref` that its account has."""
    parsed = parse(name)
    return (name, "") if parsed is None else (parsed.kind.account, parsed.ref)


def name_of(account: str, ref: str) -> str:
    """Name the balance that an account explains; the inverse of `account_of`."""
    prefix = PREFIXES.get(account, account)
    return f"{prefix}{names.SEPARATOR}{ref}" if ref else prefix


def source_label(name: str) -> str:
    """Return what callers see of a balance: `included:<id>`, a grant's id, or the name itself."""
    parsed = parse(name)
    if parsed is None or not parsed.ref:
        return name
    return parsed.kind.label + names.split(parsed.ref)[0]
