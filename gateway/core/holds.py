"""The life of a hold, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum

from msgspec import Struct

from gateway.core.counters import GAUGE, MONEY, SLIDING, SLOT, TOKENS, WINDOW


class HoldStatus(IntEnum):
    """The status of a hold.

    A hold ends exactly once; an expired one may still be captured late, once.
    """

    held = 0
    captured = 1
    released = 2
    expired = 3


class Step(IntEnum):
    """A step in the life of a hold."""

    extend = 0
    capture = 1
    release = 2
    expire = 3


TRANSITIONS: dict[tuple[HoldStatus, Step], HoldStatus] = {
    (HoldStatus.held, Step.extend): HoldStatus.held,
    (HoldStatus.held, Step.capture): HoldStatus.captured,
    (HoldStatus.held, Step.release): HoldStatus.released,
    (HoldStatus.held, Step.expire): HoldStatus.expired,
    (HoldStatus.expired, Step.capture): HoldStatus.captured,
}
"""The status after each allowed step; every other step finds the hold already ended."""

LATE_CAPTURE_MS = 3_600_000
"""Time in ms after its expiry in which a hold can be captured late, by default."""
ENDED_KEPT_MS = 600_000
"""Time in ms in which an ended hold answers from the store, by default."""


def status_at(status: HoldStatus, expires_ms: int, now_ms: int) -> HoldStatus:
    """Return the status that a reader sees: from its expiry on a hold is over, swept or not."""
    if status is HoldStatus.held and now_ms >= expires_ms:
        return HoldStatus.expired
    return status


class Taken(Struct, array_like=True):
    """Money that a hold took from one balance, in micros."""

    name: str
    amount: int
    perishable: bool


MEASURES_BY_SHAPE = {WINDOW: MONEY, SLIDING: TOKENS, GAUGE: SLOT}
"""The measure of each shape, for holds of versions that did not store measures."""


class Counted(Struct, array_like=True):
    """Amount a hold added to one counter; `bucket` is the SLIDING bucket it was added in.

    `measure` is what the counter measures: an index, or units by their label. A hold of an earlier
    version does not say it (-1): then it follows from the shape.
    """

    name: str
    shape: int
    amount: int
    bucket: int
    period_ms: int
    measure: int | str = -1

    @property
    def counted_as(self) -> int | str:
        """The measure of the counter: an index, or units by their label."""
        return MEASURES_BY_SHAPE[self.shape] if self.measure == -1 else self.measure


class Hold(Struct, array_like=True):
    """Money set aside, and everything that releasing or charging it needs.

    `book` is the account it is booked on: the org's, or a plan's collective one. `draws` are what
    it took and, once captured, what it finally cost from each balance. Amounts are micros, times
    Unix ms.
    """

    status: int
    org: str
    book: str
    currency: str
    product: str
    amount: int
    created_ms: int
    expires_ms: int
    draws: list[Taken]
    counted: list[Counted]
    late: bool = False
    captured: int = 0
    released: int = 0
    shortfall: int = 0
    ended_ms: int = 0

    @property
    def state(self) -> HoldStatus:
        """The status as a member of the enum."""
        return HoldStatus(self.status)


def add_taken(hold: Hold, taken: Taken) -> None:
    """Add what an authorize or extend took from a balance."""
    for entry in hold.draws:
        if entry.name == taken.name:
            entry.amount += taken.amount
            return
    hold.draws.append(taken)


def add_counted(hold: Hold, counted: Counted) -> None:
    """Add what an authorize or extend added to a counter.

    Each bucket of a SLIDING counter has an entry of its own, the oldest first. Those that are older
    than the bucket before the newest are out of the counter: they become one entry.
    """
    own = [entry for entry in hold.counted if entry.name == counted.name]
    if own and own[-1].bucket == counted.bucket:
        own[-1].amount += counted.amount
        return
    if len(own) > 1 and own[1].bucket < counted.bucket - 1:
        own[1].amount += own[0].amount
        hold.counted.remove(own[0])
    hold.counted.append(counted)


def final_parts(
    counted: Sequence[Counted], leaves: Mapping[int | str, int] | None
) -> list[tuple[Counted, int]]:
    """Split what a hold finally used over its entries: oldest bucket first, the rest to the last.

    `leaves` is what a captured request leaves, by measure; a measure that is missing keeps its
    estimate. None: the hold was released or expired, and leaves nothing.
    """
    last = {entry.name: entry for entry in counted}
    rest: dict[str, int] = {}
    found = []
    for entry in counted:
        final = 0
        if leaves is not None:
            total = leaves.get(entry.counted_as)
            if total is None:
                final = entry.amount
            else:
                left = rest.setdefault(entry.name, total)
                final = left if entry is last[entry.name] else min(left, entry.amount)
                rest[entry.name] = left - final
        found.append((entry, final))
    return found
