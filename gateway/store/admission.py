"""Fair admission: a queue per org in front of one connection to a store.

A connection takes only so much work at a time. The rest waits here, by org, and is let in by
deficit round robin, so an org that asks for more than its share delays itself alone. What ends or
adds to holds, and what admins change, is let in before new requests. When more is asked than can be
served, the newest of the longest queue is shed. The module knows orgs and amounts of work, and
nothing of what the work is.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from gateway.errors import Overloaded, Unavailable

T = TypeVar("T")

WINDOW_S = 0.004
"""Seconds that a command may wait in the store for the commands before it.

The store answers together what it read together, so the command that comes next waits twice as
long. Less would leave the store idle between a reply and the next command. More would let the first
callers keep others waiting in the store, where no queue is fair any more.
"""
LEAST_IN_FLIGHT = 2
"""Commands in flight at least: one that is worked on, and one that is there when it is done."""
FIRST_IN_FLIGHT, MOST_IN_FLIGHT = 16, 512
USUAL = 12
"""Work of a usual request."""
SHRINKS_TO = 0.5
"""Part of the window that one step leaves at least: a stall is no reason to close it."""
QUANTUM = 16
"""Work that a queue may have done in its turn: about a usual request's, in keys it reads."""
SAMPLES = 64
"""Service times that the estimate is the median of: it follows within a few ms at full load."""
PATIENCE_S = 0.1
"""Seconds that the expected wait may exceed its target: shorter bursts are served, not shed."""
TARGET_TIMES, LEAST_TARGET_S = 4, 0.010
"""Target of a queue: so many times what the store takes by itself, and at least so many seconds.

A machine that is slow has more patience, and one that is overloaded has not.
"""
RETRY_AFTER_S = 1

IS_PATIENT: ContextVar[bool] = ContextVar("IS_PATIENT", default=False)
"""True in a task that asks for part of something long, such as a batch.

It may wait for its turn as long as it takes, and is never what makes a queue too long.
"""

SHARED = ""
"""The queue of all orgs that were never created."""
FIRST, LATER = 0, 1
"""Lanes: what ends or adds to holds and what admins change; new requests and events."""
FIRST_TURNS = 3
"""Turns of the first lane for one of the other: the first goes before, and starves no one."""


@dataclass(slots=True)
class Waiting:
    """One caller in a queue: its work, since when it waits, and the future that wakes it up.

    A patient caller waits as long as it takes, and is not shed.
    """

    work: int
    since_s: float
    turn: asyncio.Future[None]
    is_patient: bool = False
    lane: int = 1


class _Queue:
    """The callers of one org, in their order, and what is left of its share of work.

    `work` is that of callers who are not patient: it says how long the queue is.
    """

    __slots__ = ("callers", "deficit", "work")

    def __init__(self) -> None:
        self.callers: deque[Waiting] = deque()
        self.work = 0
        self.deficit = 0

    def add(self, one: Waiting) -> None:
        self.callers.append(one)
        self.work += 0 if one.is_patient else one.work

    def first(self) -> Waiting:
        one = self.callers.popleft()
        self.work -= 0 if one.is_patient else one.work
        return one

    def newest(self) -> Waiting:
        """Return the newest caller that is not patient; there is one while `work` is not 0."""
        return next(one for one in reversed(self.callers) if not one.is_patient)

    def remove(self, one: Waiting) -> None:
        self.callers.remove(one)
        self.work -= one.work


class Admission:
    """The queues in front of one connection.

    Times are seconds of `clock`. `target_s` is the wait that is aimed at; None derives it from the
    store's own time. No caller waits longer than `deadline_s`, except a patient one. Work is
    counted in keys that a command reads.
    """

    def __init__(
        self,
        *,
        target_s: float | None = None,
        deadline_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self._fixed_target_s = target_s
        self._deadline_s = deadline_s
        self._lanes: tuple[OrderedDict[str, _Queue], OrderedDict[str, _Queue]] = (
            OrderedDict(),
            OrderedDict(),
        )
        self._queued = self._sheddable = self._turns = 0
        self._in_flight = 0
        self.commands = 0
        """Commands in flight."""
        self._window: float = FIRST_IN_FLIGHT * USUAL
        self._was_full = False
        """True if a caller had to wait for the window since it was set last."""
        self._unit_s = 0.0
        """Seconds that one unit of work takes the store, by the last samples."""
        self._store_s = self._least_s = 0.0
        """Seconds that a command takes, and that one with next to nothing before it takes."""
        self._samples: list[tuple[float, float, int]] = []
        self._demand: dict[str, float] = {}
        """Work that each org asked for while too much was asked for, halved as time passes."""
        self._over_since_s: float | None = None
        self._under_since_s: float | None = None
        self.shed = 0
        """Callers that were shed so far."""

    async def run(
        self, org: str, work: int, lane: int, command: Callable[[float], Awaitable[T]]
    ) -> T:
        """Run a command when its org's turn comes; the command gets the seconds it waited.

        Raises what the command raises, and as `enter` does.
        """
        waited_s = 0.0 if self.is_free(work) else await self.enter(org, work, lane)
        ahead, started_s, took_s = self.commands - 1, self.clock(), 0.0
        try:
            result = await command(waited_s)
            took_s = self.clock() - started_s
            return result
        finally:
            self.leave(work, took_s, ahead)

    def is_free(self, work: int) -> bool:
        """Let a caller in immediately, if no other waits and there is room.

        Returns whether it was let in; then `leave` must follow.
        """
        if self._queued or (
            self._in_flight + work > self._window and self.commands >= LEAST_IN_FLIGHT
        ):
            self._was_full = True
            return False
        self._in_flight += work
        self.commands += 1
        return True

    async def enter(self, org: str, work: int, lane: int = LATER) -> float:
        """Wait for a turn, and return how many seconds it took; `leave` must follow.

        Raises Overloaded where the caller is shed, and Unavailable where the store fell silent.
        """
        if self.is_free(work):
            return 0.0
        turn = asyncio.get_running_loop().create_future()
        one = Waiting(work, self.clock(), turn, IS_PATIENT.get(), lane)
        queue = self._lanes[lane].get(org)
        if queue is None:
            queue = self._lanes[lane][org] = _Queue()
        queue.add(one)
        self._count(one, 1)
        if self._over_since_s is not None and lane == LATER and not one.is_patient:
            self._demand[org] = self._demand.get(org, 0.0) + work
        self._shed(one.since_s)
        self._let_in(one.since_s)
        try:
            await turn
            return self.clock() - one.since_s
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                # Its turn came just as it went away.
                self.leave(work)
            raise
        finally:
            # An error holds this frame, which would hold the error: a cycle for each caller that is
            # shed, and pauses of the collector of 30 ms in an overload.
            del turn, one

    def leave(self, work: int, took_s: float = 0.0, ahead: int = 0) -> None:
        """Free the room of a command that is done, and learn from how long it took.

        `took_s` is that time in seconds (0: nothing to learn), `ahead` the number of commands
        before it.
        """
        if took_s > 0:
            self._samples.append((took_s, took_s / self._in_flight, ahead))
            if len(self._samples) >= SAMPLES:
                self._learn()
        now = self.clock()
        self._in_flight -= work
        self.commands -= 1
        if self._queued:
            self._drop_late(now)
            self._let_in(now)

    def fail(self, older_than_s: float) -> None:
        """Fail the callers that have waited for longer than `older_than_s`: the store is silent."""
        latest = self.clock() - older_than_s
        detail = f"the store did not answer within {1000 * older_than_s:.0f} ms"
        self._drop(latest, lambda: Unavailable("store_unavailable", detail))
        # Callers that come when it answers again find a new queue.
        self._over_since_s = self._under_since_s = None

    @property
    def target_s(self) -> float:
        """The wait that is aimed at, in seconds."""
        if self._fixed_target_s is not None:
            return self._fixed_target_s
        return max(LEAST_TARGET_S, TARGET_TIMES * self._least_s)

    @property
    def expected_wait_s(self) -> float:
        """Seconds that a caller who comes now would wait."""
        return self._sheddable * self._unit_s

    def _learn(self) -> None:
        """Let more in flight while commands do not wait long in the store, and less when they do.

        As TCP Vegas does (Brakmo and Peterson, 1995): what a command takes beyond one that has next
        to nothing before it is its wait there. An fsync or a network that every command waits for
        is in both, and so costs no throughput.
        """
        self._store_s = median([took for took, _, _ in self._samples])
        self._unit_s = median([unit for _, unit, _ in self._samples])
        alone = [took for took, _, ahead in self._samples if not ahead]
        self._least_s = min(alone or [self._least_s or self._store_s, self._store_s])
        waited_s, least = self._store_s - self._least_s, LEAST_IN_FLIGHT * USUAL
        if waited_s > WINDOW_S and self._window <= least:
            # So long with so little in flight: every command takes that by now.
            self._least_s = min(took for took, _, _ in self._samples)
        self._samples.clear()
        self._demand = {org: work / 2 for org, work in self._demand.items() if work >= 1}
        if waited_s > WINDOW_S:
            self._window *= max(SHRINKS_TO, WINDOW_S / waited_s)
        elif self._was_full or self._queued:
            self._window += USUAL
        self._window = min(max(self._window, least), MOST_IN_FLIGHT * USUAL)
        self._was_full = False

    def _let_in(self, now: float) -> None:
        first, later = self._lanes
        while (first or later) and self._has_room():
            is_first = bool(first) and not (later and self._turns >= FIRST_TURNS)
            self._turns = self._turns + 1 if is_first else 0
            queues = first if is_first else later
            org, queue = next(iter(queues.items()))
            is_over = self._serve(queue)
            if not queue.callers:
                # An unused share is not saved up: only an org that waits has one.
                del queues[org]
            elif is_over:
                queues.move_to_end(org)
        self._look_at_queue(now)

    def _look_at_queue(self, now: float) -> None:
        """Begin or end an overload when the queue was too long, or not, for a while."""
        if self.expected_wait_s > self.target_s:
            self._under_since_s = None
            if self._over_since_s is None:
                self._over_since_s = now
        elif self._over_since_s is not None:
            if self._under_since_s is None:
                self._under_since_s = now
            elif now - self._under_since_s >= PATIENCE_S or now - self._over_since_s < PATIENCE_S:
                self._over_since_s = self._under_since_s = None

    def _has_room(self) -> bool:
        return self._in_flight < self._window or self.commands < LEAST_IN_FLIGHT

    def _serve(self, queue: _Queue) -> bool:
        """Let in what one queue's share allows; False where the window ended its turn early."""
        queue.deficit += QUANTUM
        while queue.callers and queue.deficit >= queue.callers[0].work:
            if not self._has_room():
                queue.deficit -= QUANTUM
                return False
            one = queue.first()
            self._count(one, -1)
            if one.turn.done():
                continue
            queue.deficit -= one.work
            self._in_flight += one.work
            self.commands += 1
            one.turn.set_result(None)
        return True

    def _shed(self, now: float) -> None:
        """Shed the newest of the org that asks for most, while too many wait for too long.

        A queue may be short because it was shed, so what its org asked for lately counts with it. A
        caller that waits alone waits for no other, and is not shed.
        """
        if self._over_since_s is None or now - self._over_since_s < PATIENCE_S:
            return
        queues, demand = self._lanes[LATER], self._demand
        while self.expected_wait_s > self.target_s:
            waiting = [org for org, queue in queues.items() if queue.work]
            org = max(waiting, key=lambda name: queues[name].work + demand.get(name, 0.0))
            one = queues[org].newest()
            if one.work == self._sheddable:
                return
            queues[org].remove(one)
            self._count(one, -1)
            # The queue is short because of this, not because less is asked: it is not over yet.
            self._under_since_s = None
            if not queues[org].callers:
                del queues[org]
            if not one.turn.done():
                self.shed += 1
                one.turn.set_exception(overloaded())

    def _drop_late(self, now: float) -> None:
        self._drop(now - self._deadline_s, overloaded, spare_patient=True)

    def _count(self, one: Waiting, sign: int) -> None:
        self._queued += sign * one.work
        if one.lane == LATER and not one.is_patient:
            self._sheddable += sign * one.work

    def _drop(
        self, latest_s: float, fault: Callable[[], Exception], *, spare_patient: bool = False
    ) -> None:
        """Fail the callers that have waited since `latest_s` or before."""
        for queues in self._lanes:
            for org in [org for org, q in queues.items() if q.callers[0].since_s <= latest_s]:
                queue = _Queue()
                queue.deficit = queues[org].deficit
                for one in queues[org].callers:
                    if one.since_s > latest_s or (spare_patient and one.is_patient):
                        queue.add(one)
                        continue
                    self._count(one, -1)
                    if not one.turn.done():
                        self.shed += 1
                        one.turn.set_exception(fault())
                if queue.callers:
                    queues[org] = queue
                else:
                    del queues[org]


def overloaded() -> Overloaded:
    """Make the error of a caller that is shed."""
    detail = "more is asked for than can be decided now; try again in a moment"
    return Overloaded(detail, RETRY_AFTER_S)
