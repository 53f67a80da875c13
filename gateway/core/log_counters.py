"""Velocity counters over a whole log: as `core.velocity` counts, several times as fast.

State is changed in place, and looked up once for all requests of the same entities. A property test
compares the two; the store's own machine remains the meaning.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.core.money import MAX_MICROS
from gateway.core.velocity import (
    COUNTED,
    DISTINCT,
    IF_REFUSED,
    LISTED,
    MOST_DISTINCT,
    ONE_MORE,
    VelocityCounter,
    count_ends_ms,
    latest,
)

Step = tuple[int, Any, int, str, str, str]
"""A velocity counter as a request reads it: kind, state, width in ms, what is added, two names.

The names are those of the counter's numbers; a number whose name is "" is left out.
"""
NEVER = -(2**62)


class Running:
    """Counts, sets and first times, by org and name."""

    def __init__(self) -> None:
        self._state: dict[tuple[str, str], tuple[int, int, Any]] = {}
        """Kind, width (ms) and state of each counter.

        The state of a count is the bucket's number, its numbers and those of the bucket before.
        That of a set is its members by when they were seen last, oldest first. That of a first time
        is the first and the last time (Unix ms).
        """

    def steps(self, tallies: Iterable[VelocityCounter], names: Iterable[str]) -> list[Step]:
        """Prepare the steps of `meet` for a request; they are valid until the next sweep.

        `names` are those of all the numbers that the counters show, in their order. Raises
        ValueError for a counter that is LISTED.
        """
        left, found = iter(names), []
        for tally in tallies:
            first = next(left)
            second = next(left) if tally.kind in (COUNTED, DISTINCT) else ""
            found.append((tally.kind, self._of(tally), tally.width_ms, tally.adds, first, second))
        # Counters of one width are neighbours: they share the place of the time in its bucket.
        found.sort(key=lambda step: (step[0], step[2]))
        return found

    def _of(self, tally: VelocityCounter) -> Any:
        if tally.kind == LISTED:
            raise ValueError("lists are no matter of time")
        key = (tally.org, tally.name)
        found = self._state.get(key)
        if found is None:
            new: Any = {} if tally.kind == DISTINCT else [NEVER, 0, 0, 0, 0]
            found = self._state[key] = (tally.kind, tally.width_ms, new)
        return found[2]

    def meet(self, steps: Iterable[Step], request: tuple[int, bool], now_ms: int) -> dict[str, int]:
        """Read the counters in play of a request, then count the request in them.

        `request` is its amount in micros and whether it was allowed. Returns the readings by name;
        a reading without a name is left out.
        """
        seen: dict[str, int] = {}
        amount, is_allowed = request
        here, share, last_ms = 0, 0.0, 0
        for kind, state, width_ms, adds, first, second in steps:
            if kind == COUNTED:
                if width_ms != last_ms:
                    here, into = divmod(now_ms, width_ms)
                    share, last_ms = (width_ms - into) / width_ms, width_ms
                bucket, n, micros, n_before, micros_before = state
                if bucket < here:
                    is_next = bucket == here - 1
                    n_before, micros_before = (n, micros) if is_next else (0, 0)
                    n = micros = 0
                    state[:] = here, 0, 0, n_before, micros_before
                if n_before:
                    seen[first] = n + int(n_before * share)
                    seen[second] = micros + int(micros_before * share)
                else:
                    seen[first], seen[second] = n, micros
                if adds == ONE_MORE or (adds == IF_REFUSED and not is_allowed):
                    micros += amount
                    state[1], state[2] = n + 1, micros if micros < MAX_MICROS else MAX_MICROS
            elif kind == DISTINCT:
                _forget(state, now_ms - width_ms)
                seen[first], seen[second] = len(state), int(adds in state)
                if adds:
                    _meet(state, adds, now_ms)
            else:
                if now_ms - state[1] >= width_ms or state[0] == NEVER:
                    state[0] = now_ms
                seen[first] = min(width_ms, max(0, now_ms - state[0]))
                state[1] = now_ms
        seen.pop("", None)
        return seen

    def report(self, tally: VelocityCounter, at_ms: int, amount: int, now_ms: int) -> None:
        """Count an event in the bucket of the time it happened, if that bucket still counts.

        `at_ms` is when it happened, `now_ms` the current time (both Unix ms); `amount` is micros.
        """
        state, width_ms = self._of(tally), tally.width_ms
        _roll(state, now_ms // width_ms)
        back = state[0] - at_ms // width_ms
        if back in (0, 1):
            state[1 + 2 * back] += 1
            state[2 + 2 * back] = min(MAX_MICROS, state[2 + 2 * back] + amount)

    def sweep(self, now_ms: int) -> None:
        """Remove what no longer counts; steps that were prepared before are no longer valid."""
        self._state = {key: of for key, of in self._state.items() if _ends_ms(*of, now_ms) > now_ms}


def _roll(state: list[int], here: int) -> None:
    """Roll a count forward to the bucket `here`, unless it is there or further."""
    if state[0] < here:
        state[3], state[4] = (state[1], state[2]) if state[0] == here - 1 else (0, 0)
        state[0], state[1], state[2] = here, 0, 0


def _forget(members: dict[str, int], since_ms: int) -> None:
    """Drop members that were not seen since `since_ms`; the oldest come first."""
    while members:
        oldest = next(iter(members))
        if members[oldest] > since_ms:
            return
        del members[oldest]


def _meet(members: dict[str, int], member: str, now_ms: int) -> None:
    members[member] = max(now_ms, members.pop(member, 0))
    if len(members) > MOST_DISTINCT:
        kept = latest(members)
        members.clear()
        members.update(kept)


def _ends_ms(kind: int, width_ms: int, state: Any, now_ms: int) -> int:
    if kind == COUNTED:
        return count_ends_ms(state[0], width_ms)
    if kind == DISTINCT:
        _forget(state, now_ms - width_ms)
        return now_ms + 1 if state else now_ms
    return int(state[1]) + width_ms
