"""Tallies over a whole log: what `core.velocity` reads and then adds, several times as fast.

State is changed in place and found once for all requests of the same entities. A property test
holds the two together; the store's own machine stays the meaning.
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
    Tally,
    count_ends_ms,
    latest,
)

Step = tuple[int, Any, int, str, str, str]
"""The kind of a tally, its state, its width, what a request adds, and what its numbers are named
("": nothing)."""
NEVER = -(2**62)


class Running:
    """Counts, sets and first moments, by org and name."""

    def __init__(self) -> None:
        self._state: dict[tuple[str, str], tuple[int, int, Any]] = {}
        """Kind, width and state: a bucket's number, its numbers and those before; members by when
        they were met last, oldest first; or first and last moment."""

    def steps(self, tallies: Iterable[Tally], names: Iterable[str]) -> list[Step]:
        """What `meet` goes through for a request; good until the next sweep.

        `names` are those of all the numbers that the tallies show, in their order.
        """
        left, found = iter(names), []
        for tally in tallies:
            first = next(left)
            second = next(left) if tally.kind in (COUNTED, DISTINCT) else ""
            found.append((tally.kind, self._of(tally), tally.width_ms, tally.adds, first, second))
        # Those of one width stand together: they share the moment's place in it.
        found.sort(key=lambda step: (step[0], step[2]))
        return found

    def _of(self, tally: Tally) -> Any:
        if tally.kind == LISTED:
            raise ValueError("lists are no matter of time")
        key = (tally.org, tally.name)
        found = self._state.get(key)
        if found is None:
            new: Any = {} if tally.kind == DISTINCT else [NEVER, 0, 0, 0, 0]
            found = self._state[key] = (tally.kind, tally.width_ms, new)
        return found[2]

    def meet(self, steps: Iterable[Step], request: tuple[int, bool], now_ms: int) -> dict[str, int]:
        """What tallies show a request (its amount, whether it was allowed), which then counts.

        By their names; what has none is not told.
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

    def tell(self, tally: Tally, at_ms: int, amount: int, now_ms: int) -> None:
        """Count something in the bucket of when it happened, if that one still counts."""
        state, width_ms = self._of(tally), tally.width_ms
        _roll(state, now_ms // width_ms)
        back = state[0] - at_ms // width_ms
        if back in (0, 1):
            state[1 + 2 * back] += 1
            state[2 + 2 * back] = min(MAX_MICROS, state[2 + 2 * back] + amount)

    def sweep(self, now_ms: int) -> None:
        """Forget what counts no more. Steps that were made before are good no longer."""
        self._state = {key: of for key, of in self._state.items() if _ends_ms(*of, now_ms) > now_ms}


def _roll(state: list[int], here: int) -> None:
    """Bring a count to a bucket, unless it is there or further."""
    if state[0] < here:
        state[3], state[4] = (state[1], state[2]) if state[0] == here - 1 else (0, 0)
        state[0], state[1], state[2] = here, 0, 0


def _forget(members: dict[str, int], since_ms: int) -> None:
    """Drop those that were not met since a moment; the oldest come first."""
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
