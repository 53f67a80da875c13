"""Answers about what an org has, and what it was charged."""

from __future__ import annotations

from msgspec import UNSET, UnsetType, field

from gateway.wire.answers.base import Answer


class BalanceGrant(Answer):
    """Remainder of a grant; `for` names whom alone it pays for, null is the whole org."""

    id: str
    kind: str
    remaining_micros: int
    expires_at: str | None
    for_: dict[str, str] | None = field(name="for")


class BalanceIncluded(Answer):
    """Remainder of an included quota."""

    id: str
    remaining_micros: int
    resets_at: str


class BalanceCap(Answer):
    """Use of a cap, for one target, in its `unit`; a cap of money says it in micros, too."""

    id: str
    level: str
    target: str | None
    mode: str
    unit: str
    limit: int
    used: int
    held: int
    remaining: int
    resets_at: str | None
    limit_micros: int | UnsetType = UNSET
    used_micros: int | UnsetType = UNSET
    held_micros: int | UnsetType = UNSET
    remaining_micros: int | UnsetType = UNSET


class BalanceAnswer(Answer):
    """Funds of an org, by source, and the use of its caps."""

    currency: str
    available_micros: int
    held_micros: int
    shortfall_micros: int
    credit_line_micros: int
    grants: list[BalanceGrant]
    included: list[BalanceIncluded]
    caps: list[BalanceCap]


class UsageRow(Answer, omit_defaults=True):
    """Charges of one group; product and day are present when grouped by."""

    requests: int
    captured_micros: int
    shortfall_micros: int
    quantity: dict[str, int]
    product: str = ""
    day: str = ""


class UsageAnswer(Answer):
    """Charges of an org."""

    rows: list[UsageRow]
