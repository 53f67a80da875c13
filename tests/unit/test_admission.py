"""Who is served next: fair by org, ends of holds first, the newest of the longest queue shed."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter

import pytest

from gateway.errors import Overloaded, SpendgateError, Unavailable
from gateway.store.admission import (
    FIRST,
    FIRST_IN_FLIGHT,
    IS_PATIENT,
    LATER,
    LEAST_IN_FLIGHT,
    PATIENCE_S,
    QUANTUM,
    SAMPLES,
    SHARED,
    WINDOW_S,
    Admission,
)

WORK = 12


class Server:
    """A store that works one command after the other, under a clock that it moves itself."""

    def __init__(self, command_s: float, **more: float) -> None:
        self.now, self.command_s = 100.0, command_s
        self.admission = Admission(clock=lambda: self.now, **more)
        self.sent: list[tuple[str, float, int]] = []
        self.served: list[str] = []
        self.refused: Counter[str] = Counter()
        self.errors: list[weakref.ref[SpendgateError]] = []
        self.waited: dict[str, list[float]] = {}
        self.callers: list[asyncio.Task[None]] = []

    def ask(self, org: str, lane: int = LATER, work: int = WORK) -> None:
        self.callers.append(asyncio.create_task(self._call(org, lane, work)))

    async def _call(self, org: str, lane: int, work: int) -> None:
        try:
            waited = await self.admission.enter(org, work, lane)
        except SpendgateError as error:
            self.refused[f"{org} {error.code}"] += 1
            self.errors.append(weakref.ref(error))
            return
        self.waited.setdefault(org, []).append(waited)
        self.sent.append((org, self.now, self.admission.commands - 1))

    async def answer(self, count: int = 1) -> None:
        """Answer the oldest commands in flight."""
        for _ in range(count):
            await settle()
            if not self.sent:
                return
            org, at, ahead = self.sent.pop(0)
            self.now += self.command_s
            self.served.append(org)
            self.admission.leave(WORK, self.now - at, ahead)
        await settle()

    async def learn(self) -> None:
        """Let it learn how long the store takes, with nobody waiting."""
        for _ in range(SAMPLES):
            self.ask("warm")
            await self.answer()
        self.served.clear()


async def settle() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


@pytest.mark.parametrize("command_s", [0.0001, 0.002, 0.02])
async def test_so_much_is_in_flight_as_the_store_works_off_in_some_ms(command_s: float) -> None:
    server = Server(command_s, target_s=3600, deadline_s=3600)
    await server.learn()
    for _ in range(2000):
        server.ask("acme")
    await server.answer(20 * SAMPLES)
    for _ in range(8):
        await server.answer(SAMPLES)
        in_flight_s = server.admission.commands * command_s
        assert server.admission.commands >= LEAST_IN_FLIGHT, "the store is never left idle"
        assert in_flight_s < 3 * WINDOW_S + (LEAST_IN_FLIGHT + 2) * command_s
    await cancel(server)


async def test_a_quiet_org_waits_for_its_own_work_not_for_a_noisy_ones() -> None:
    server = Server(0.002, target_s=60)
    await server.learn()
    for _ in range(500):
        server.ask("noisy")
    await settle()
    server.ask("quiet")
    await server.answer(2 * FIRST_IN_FLIGHT + 2)
    assert "quiet" in server.served, "what was in flight went before, and one turn of the other"
    await cancel(server)


async def test_orgs_that_ask_for_as_much_get_as_much() -> None:
    server = Server(0.002, target_s=60)
    await server.learn()
    for _ in range(300):
        server.ask("many")
    for org in ("a", "b", "c"):
        for _ in range(60):
            server.ask(org)
    await server.answer(160)
    counts = Counter(server.served[20:])
    assert max(counts.values()) - min(counts.values()) <= 4, counts
    await cancel(server)


async def test_whoever_asks_for_dearer_work_is_served_less_often() -> None:
    server = Server(0.002, target_s=60)
    await server.learn()
    for _ in range(200):
        server.ask("dear", work=4 * QUANTUM)
        server.ask("cheap", work=QUANTUM)
    served: Counter[str] = Counter()
    for _ in range(100):
        await settle()
        org, at, ahead = server.sent.pop(0)
        served[org] += 1
        server.now += server.command_s
        server.admission.leave(4 * QUANTUM if org == "dear" else QUANTUM, server.now - at, ahead)
    assert 3 < served["cheap"] / served["dear"] < 5, served
    await cancel(server)


async def test_all_orgs_without_an_account_share_one_queue() -> None:
    server = Server(0.002, target_s=60)
    await server.learn()
    for _ in range(400):
        server.ask(SHARED)
    for _ in range(20):
        server.ask("acme")
    await server.answer(60)
    assert server.served.count("acme") == 20
    await cancel(server)


async def test_ends_of_holds_and_changes_of_admins_go_first() -> None:
    server = Server(0.002, target_s=60)
    await server.learn()
    for _ in range(100):
        server.ask("acme")
    await settle()
    server.ask("acme captures", FIRST)
    await server.answer(FIRST_IN_FLIGHT + 2)
    assert "acme captures" in server.served
    await cancel(server)


async def test_a_burst_is_served_and_a_flood_is_shed_where_it_is_longest() -> None:
    server = Server(0.002)
    await server.learn()
    for _ in range(30):
        server.ask("burst")
    await server.answer(30)
    assert not server.refused
    for step in range(200):
        for _ in range(4):
            server.ask("noisy")
        if step % 2:
            server.ask("quiet")
        await server.answer(2)
    assert server.refused["noisy overloaded"] > 100
    assert server.refused["quiet overloaded"] == 0
    assert server.admission.expected_wait_s <= server.admission.target_s + WORK * 0.002
    await cancel(server)


async def test_while_more_is_asked_than_served_the_queue_does_not_grow_again() -> None:
    server = Server(0.002)
    await server.learn()
    longest_s = 0.0
    for step in range(1000):
        for _ in range(2):
            server.ask("noisy")
        await server.answer()
        if step > 200:
            longest_s = max(longest_s, server.admission.expected_wait_s)
    assert longest_s <= server.admission.target_s + 2 * WORK * 0.002
    await cancel(server)


async def test_a_caller_that_is_shed_leaves_nothing_for_the_collector() -> None:
    server = Server(0.002)
    await server.learn()
    gc.collect()
    gc.disable()
    try:
        while len(server.errors) < 20:
            for _ in range(4):
                server.ask("noisy")
            await server.answer()
        assert not [error for error in server.errors if error() is not None]
    finally:
        gc.enable()
    await cancel(server)


async def test_who_asks_for_little_is_not_shed_for_a_queue_that_shedding_made_short() -> None:
    server = Server(0.02)
    await server.learn()
    for step in range(300):
        for _ in range(6):
            server.ask("noisy")
        if step % 6 == 0:
            server.ask("quiet")
            server.ask("quiet")
        await server.answer()
    assert server.refused["noisy overloaded"] > 100
    assert server.refused["quiet overloaded"] == 0
    await cancel(server)


async def test_who_waits_alone_is_not_shed() -> None:
    server = Server(0.05, target_s=0.001)
    await server.learn()
    for step in range(100):
        if not server.admission.expected_wait_s:
            server.ask("acme")
        if step % 2:
            server.ask("other", FIRST)
        await server.answer()
    assert not server.refused
    await cancel(server)


async def test_before_anybody_is_shed_the_queue_was_too_long_for_a_while() -> None:
    server = Server(0.002)
    await server.learn()
    for _ in range(200):
        server.ask("acme")
    began = server.now
    while not server.refused:
        server.ask("acme")
        await server.answer()
    assert server.now - began >= PATIENCE_S
    await cancel(server)


async def test_nobody_waits_longer_than_the_deadline() -> None:
    server = Server(0.05, target_s=60, deadline_s=1.0)
    await server.learn()
    for _ in range(100):
        server.ask("acme")
    await server.answer(100)
    assert max(server.waited["acme"]) <= 1.05
    assert server.refused["acme overloaded"] > 0
    await cancel(server)


async def test_a_silent_store_is_told_to_who_has_waited_for_so_long() -> None:
    server = Server(0.002, target_s=60)
    await server.learn()
    for _ in range(20):
        server.ask("acme")
    await settle()
    server.now += 0.03
    server.ask("later")
    await settle()
    server.now += 0.03
    server.admission.fail(0.05)
    await settle()
    assert server.refused == {"acme store_unavailable": 20 - len(server.sent)}
    await cancel(server)


async def test_an_fsync_that_every_command_waits_for_costs_no_throughput() -> None:
    """What is answered together after a fixed time is let in by more and more."""
    server = Server(0.0, target_s=3600, deadline_s=3600)
    for _ in range(30_000):
        server.ask("acme")
    most = 0
    for _ in range(100):
        await settle()
        most = max(most, server.admission.commands)
        sent, server.sent = server.sent, []
        server.now += 0.010
        for _, at, ahead in sent:
            server.admission.leave(WORK, server.now - at, ahead)
    assert most > 2 * FIRST_IN_FLIGHT
    await cancel(server)


async def test_parts_of_a_batch_wait_as_long_as_it_takes_and_shed_nobody() -> None:
    server = Server(0.05, deadline_s=1.0)
    await server.learn()
    IS_PATIENT.set(True)
    for _ in range(100):
        server.ask("batch")
    IS_PATIENT.set(False)
    await server.answer(20)
    server.ask("quiet")
    await server.answer(100)
    assert not server.refused
    assert server.served.count("batch") == 100
    assert "quiet" in server.served[20 : 20 + FIRST_IN_FLIGHT + 3]
    await cancel(server)


async def test_who_goes_away_takes_no_place() -> None:
    server = Server(0.002, target_s=60)
    await server.learn()
    for _ in range(50):
        server.ask("gone")
    await settle()
    for caller in server.callers:
        caller.cancel()
    await settle()
    server.ask("acme")
    await server.answer(FIRST_IN_FLIGHT + 1)
    assert server.served.count("acme") == 1
    while server.sent:
        await server.answer()
    assert server.admission.commands == 0
    assert server.admission.is_free(WORK)


def test_faults_say_what_to_do() -> None:
    error = Overloaded("more is asked for than can be decided now", 1)
    assert (error.code, error.status, error.retry_after_s) == ("overloaded", 503, 1)
    assert not isinstance(error, Unavailable), "an org's open policy does not answer it"


async def cancel(server: Server) -> None:
    for caller in server.callers:
        caller.cancel()
    await asyncio.gather(*server.callers, return_exceptions=True)


async def test_who_goes_first_starves_nobody_and_sheds_nobody_else() -> None:
    server = Server(0.002)
    await server.learn()
    for step in range(300):
        for _ in range(2):
            server.ask("events", FIRST)
        if step % 20 == 0:
            server.ask("quiet")
        await server.answer(1)
    assert server.refused["quiet overloaded"] == 0
    assert server.waited.get("quiet")
    assert max(server.waited["quiet"]) < 0.1
    await cancel(server)


async def test_after_a_silence_the_first_burst_is_served() -> None:
    server = Server(0.002)
    await server.learn()
    for _ in range(100):
        server.ask("acme")
    await server.answer(2)
    server.now += 1
    server.admission.fail(0.05)
    await settle()
    server.refused.clear()
    while server.sent:
        await server.answer()
    for _ in range(30):
        server.ask("acme")
    await server.answer(30)
    assert not server.refused
    await cancel(server)


async def test_an_overload_is_over_once_nobody_waited_for_a_while() -> None:
    server = Server(0.002)
    await server.learn()
    for _ in range(100):
        for _ in range(4):
            server.ask("noisy")
        await server.answer(2)
    assert server.refused["noisy overloaded"] > 0
    while server.sent:
        await server.answer()
    server.refused.clear()
    server.now += 10
    for _ in range(30):
        server.ask("acme")
    await server.answer(30)
    assert not server.refused
    await cancel(server)
