"""Tallies over a whole log show what the machine shows, of any requests in any order of names."""

from __future__ import annotations

import random

import pytest

from gateway.core.expiring_cells import Cells
from gateway.core.log_counters import Running
from gateway.core.velocity import (
    COUNTED,
    DISTINCT,
    FIRST,
    IF_REFUSED,
    ONE_MORE,
    Past,
    VelocityCounter,
    add_past,
    add_velocity,
    read_velocity,
)

START_MS = 1_700_000_000_000
STEPS = 4_000
WIDTHS = (7_000, 600_000)


def some(chance: random.Random) -> list[VelocityCounter]:
    """What one request meets: windows, sets and first moments of a few entities."""
    found = []
    for width in WIDTHS:
        who = chance.randrange(3)
        adds = chance.choice(["", ONE_MORE, ONE_MORE, IF_REFUSED])
        found.append(VelocityCounter(COUNTED, "acme", f"w/{width}/{who}", width, adds))
        member = chance.choice(["", f"m{chance.randrange(chance.choice([3, 400]))}"])
        found.append(VelocityCounter(DISTINCT, "", f"d/{width}/{who}", width, member))
        found.append(VelocityCounter(FIRST, "acme", f"f/{width}/{who}", width, ONE_MORE))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_what_runs_shows_what_the_machine_shows(seed: int) -> None:
    chance, now_ms = random.Random(seed), START_MS
    own, shared, running = Cells(), Cells(), Running()
    for step in range(STEPS):
        # Forwards, now and then further than a window; to the same moment, too.
        now_ms += chance.choice([0, 1, 50, 900, 6_999, 7_000, 61_000])
        tallies, request = some(chance), (chance.randrange(10**6), chance.random() < 0.7)
        if chance.random() < 0.1:
            event = VelocityCounter(COUNTED, "acme", tallies[0].name, tallies[0].width_ms, ONE_MORE)
            at_ms = now_ms - chance.randrange(20_000)
            past = Past(event, {at_ms // event.width_ms: (1, request[0])})
            add_past(own, shared, past, now_ms)
            running.report(event, at_ms, request[0], now_ms)
            continue
        expected = read_velocity(own, shared, tallies, now_ms)
        add_velocity(own, shared, tallies, request, now_ms)
        names = [f"{n}" for n in range(len(expected))]
        steps = running.steps(tallies, names)
        shown = running.meet(steps, request, now_ms)
        assert [shown[name] for name in names] == expected, step
        if chance.random() < 0.01:
            running.sweep(now_ms)
            own.sweep(now_ms)
            shared.sweep(now_ms)
