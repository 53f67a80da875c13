"""Velocity counters: what is counted because rules ask for it, beyond the signals.

A counter is of an org's own entity or of one that many orgs share, over any window; or it shows
whether an item is on a list. Each is read before a request is counted in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from gateway.core import names
from gateway.core.entity_counters import (
    FIXED,
    Windows,
    backfilled_signal,
    overlapped,
    signal_ends_ms,
    with_past,
)
from gateway.core.expiring_cells import Cells
from gateway.core.money import MAX_MICROS

COUNTED, DISTINCT, LISTED, SIGNAL, FIRST = 0, 1, 2, 3, 4
"""Kinds of velocity counters.

COUNTED: attempts and micros in a window. DISTINCT: different members in a window. LISTED: whether
an item is on a list. SIGNAL: a window that is counted in its entity's signal; it is read there, and
only its backfill treats it as a counter of its own. FIRST: since when an entity has been seen
without a pause as long as the window.
"""
MOST_DISTINCT = 128
"""Bound of a set: distinct counts are exact up to 128 members and saturate there."""
ONE_MORE, IF_REFUSED = "+", "-"
"""Increments of a COUNTED counter: by every request, or only by a refused one."""

Count = tuple[int, int, int, int, int]
"""A bucket's number, its attempts and micros, and those of the bucket before."""


class VelocityCounter(Struct, frozen=True, gc=False):
    """A velocity counter as one request reads it.

    `org` is "" where many orgs share it. `adds` is what the request adds: ONE_MORE, IF_REFUSED or a
    member; "" where it only reads. Of a SIGNAL it is the rule change since which the window is
    counted.
    """

    kind: int
    org: str
    name: str
    width_ms: int = 0
    adds: str = ""


class Entry(Struct, frozen=True, gc=False):
    """A change of a list, the `n`th of all: the item is on it until `expires_ms` (0: for good).

    `digest` is the item's. With `is_gone` the item is removed.
    """

    list: str
    digest: str
    n: int
    expires_ms: int
    is_gone: bool

    @property
    def name(self) -> str:
        """The name of the counter that shows whether the item is on the list."""
        return entry_name(self.list, self.digest)


class Past(Struct, frozen=True):
    """Events from before a velocity counter existed, to be added to it.

    `buckets` maps a bucket's number to attempts and micros; `members` maps a member to when it was
    seen last (Unix ms). Of a FIRST counter, bucket 0 has the times since when, and when last, it
    was seen.
    """

    tally: VelocityCounter
    buckets: dict[int, tuple[int, int]] = {}
    members: dict[str, int] = {}


MARK = "lists"
"""The name of the cell with the number of the last list change that was applied."""


def entry_name(name: str, digest: str) -> str:
    """Name the counter that shows whether an item, by its digest, is on a list."""
    return names.join("l", name, digest)


def follow(shared: Cells, entries: Iterable[Entry], now_ms: int) -> int:
    """Apply list changes in their order, each once; return the number of the last one."""
    mark: int = shared.get("", MARK, now_ms) or 0
    for entry in entries:
        if entry.n <= mark:
            continue
        shared.drop("", entry.name)
        if not entry.is_gone:
            shared.replace("", entry.name, 1, entry.expires_ms)
        mark = entry.n
    shared.replace("", MARK, mark, 0)
    return mark


class CountersInPlay(Struct, frozen=True, gc=False):
    """The counters in play: those that one request reads and increments.

    They are declared windows of its signals, and other velocity counters. `version` is the latest
    rule change that every worker knows.
    """

    windows: tuple[Windows, ...] = ()
    tallies: tuple[VelocityCounter, ...] = ()
    version: int = 0


def count_ends_ms(bucket: int, width_ms: int) -> int:
    """Compute a count's expiry (Unix ms): a bucket counts until the next one has ended."""
    return (bucket + 2) * width_ms


def rolled_count(count: Count | None, width_ms: int, now_ms: int) -> Count:
    """Roll a count forward to the bucket of now; one whose bucket is later stays there."""
    here = now_ms // width_ms
    if count is None or count[0] < here - 1:
        return here, 0, 0, 0, 0
    if count[0] == here - 1:
        return here, 0, 0, count[1], count[2]
    return count


def read_velocity(
    own: Cells, shared: Cells, tallies: Iterable[VelocityCounter], now_ms: int
) -> list[int]:
    """Read what each velocity counter shows.

    A COUNTED one shows attempts and micros; the bucket before counts by its overlap, rounded down,
    as in a signal. A DISTINCT one shows how many members it has, and whether the request's own is
    one. The others show one number: whether the item is on the list, or for how many ms the entity
    has been seen, up to the width.
    """
    seen: list[int] = []
    for tally in tallies:
        cells = own if tally.org else shared
        seen += _shown(tally, cells.get(tally.org, tally.name, now_ms), now_ms)
    return seen


def _shown(tally: VelocityCounter, value: Any, now_ms: int) -> tuple[int, ...]:
    width_ms = tally.width_ms
    if tally.kind == COUNTED:
        return overlapped(rolled_count(value, width_ms, now_ms)[1:], width_ms, now_ms)
    if tally.kind == LISTED:
        return (int(value is not None),)
    if tally.kind == FIRST:
        return (min(width_ms, max(0, now_ms - _first_seen(value, width_ms, now_ms))),)
    members, since_ms = value or {}, now_ms - width_ms
    is_known = members.get(tally.adds, since_ms) > since_ms
    return sum(at_ms > since_ms for at_ms in members.values()), int(is_known)


def add_velocity(
    own: Cells,
    shared: Cells,
    tallies: Iterable[VelocityCounter],
    request: tuple[int, bool],
    now_ms: int,
) -> None:
    """Count a request in the velocity counters that it adds to.

    `request` is its amount in micros and whether it was allowed.
    """
    for tally in tallies:
        if tally.adds:
            cells = own if tally.org else shared
            value = cells.get(tally.org, tally.name, now_ms)
            _add(cells, tally, value, request, now_ms)


def _add(
    cells: Cells, tally: VelocityCounter, value: Any, request: tuple[int, bool], now_ms: int
) -> None:
    width_ms, (amount_micros, is_allowed) = tally.width_ms, request
    if tally.kind == DISTINCT:
        _meet(cells, tally, value or {}, now_ms)
        return
    if tally.kind == FIRST:
        first_ms = _first_seen(value, width_ms, now_ms)
        cells.replace(tally.org, tally.name, (first_ms, now_ms), now_ms + width_ms)
        return
    if tally.adds == IF_REFUSED and is_allowed:
        return
    here, n, micros, n_before, micros_before = rolled_count(value, width_ms, now_ms)
    after = (here, n + 1, min(MAX_MICROS, micros + amount_micros), n_before, micros_before)
    cells.replace(tally.org, tally.name, after, count_ends_ms(here, width_ms))


def _first_seen(value: tuple[int, int] | None, width_ms: int, now_ms: int) -> int:
    """Return since when an entity has been seen: now, unless it was seen less than a width ago."""
    return value[0] if value is not None and now_ms - value[1] < width_ms else now_ms


def add_past(own: Cells, shared: Cells, past: Past, now_ms: int) -> None:
    """Add what happened before to what has been counted since."""
    tally, width_ms = past.tally, past.tally.width_ms
    cells = own if tally.org else shared
    value = cells.get(tally.org, tally.name, now_ms)
    if tally.kind == SIGNAL:
        signal = backfilled_signal(value, (int(tally.adds), width_ms), past.buckets, now_ms)
        if signal[FIXED:] != (value or ())[FIXED:]:
            ends_ms = signal_ends_ms(signal, signal[0])
            cells.put(tally.org, tally.name, signal, now_ms, ends_ms)
            cells.prolong(tally.org, tally.name, ends_ms)
        return
    if tally.kind == DISTINCT:
        known = value or {}
        met = {**known, **{m: max(at, known.get(m, 0)) for m, at in past.members.items()}}
        ends_ms = max(past.members.values()) + width_ms
        cells.put(tally.org, tally.name, latest(met), now_ms, ends_ms)
        cells.prolong(tally.org, tally.name, ends_ms)
        return
    if tally.kind == FIRST:
        first_ms, last_ms = past.buckets[0]
        if value is not None:
            # Unless there was a pause in between, it has been seen since then.
            first_ms = min(first_ms, value[0]) if value[0] - last_ms < width_ms else value[0]
            last_ms = max(last_ms, value[1])
        cells.replace(tally.org, tally.name, (first_ms, last_ms), last_ms + width_ms)
        return
    count = rolled_count(value, width_ms, now_ms)
    here = count[0]
    warm = with_past(count[1:], past.buckets, here)
    if warm is not None:
        ends_ms = count_ends_ms(here, width_ms)
        cells.replace(tally.org, tally.name, (here, *warm), ends_ms)


def _meet(cells: Cells, tally: VelocityCounter, members: dict[str, int], now_ms: int) -> None:
    met = {**members, tally.adds: max(now_ms, members.get(tally.adds, 0))}
    cells.replace(tally.org, tally.name, latest(met), now_ms + tally.width_ms)


def latest(met: dict[str, int]) -> dict[str, int]:
    """Return the members that were seen last, as many as a set may have."""
    latest = sorted(met.items(), key=lambda one: (one[1], one[0]))[-MOST_DISTINCT:]
    return dict(latest)
