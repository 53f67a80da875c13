"""A capture that is held first is settled once, whenever and however often it is asked for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.core import ids, plan
from gateway.core.commands import GrantOrder, Mode, Reply, Status
from gateway.core.entities import Grant
from gateway.core.holds import HoldStatus
from gateway.core.request_record import AdminNote, RequestRecord, Risk
from gateway.core.terms import compile_terms
from gateway.errors import Unavailable
from gateway.flows.risk.policies import NOTHING_CITED
from gateway.flows.spend import enforcement
from gateway.store import keys
from gateway.store.memory import MemoryStore
from gateway.wire import records
from tests.unit.core.making import NOON, lineage, lineage_terms, profile

AMOUNT = 700


class World:
    """One org with a grant in a store in memory, and as much of a gateway as it takes."""

    def __init__(self) -> None:
        self.now_ms = NOON
        self.store = MemoryStore(lambda: self.now_ms)
        grant_id = ids.GRANT + ids.make(NOON, keys.shard_of("acme"), 1)
        self.grant = Grant(grant_id, "paid", 1_000, 10, NOON)
        of = profile(grants=(self.grant,), grants_version=1)
        who = lineage("", "u_1", "k_1")
        self.terms = records.seal(compile_terms(of, lineage_terms(who), "gpt", NOON))
        self.who = who
        self.held: list[str] = []

    async def begin(self) -> tuple[RequestRecord, Reply]:
        """The first half: the hold is made, and nothing more."""
        note = records.encode(AdminNote("", "", self.grant))
        await self.store.grant(
            GrantOrder("acme", "USD", self.grant, records.encode(self.grant), note)
        )
        shard = self.store.shards[keys.shard_of("acme")]
        for version in self.terms.needs.versions:
            shard.versions[version.kind, version.id] = version.expected
        request = plan.Request(
            self.who,
            "gpt",
            None,
            AMOUNT,
            Mode.HOLD,
            enforcement.SETTLES_WITHIN_MS,
            {},
            settles=True,
        )
        body = ids.make(self.now_ms, keys.shard_of("acme"), 2)
        asked = plan.make(self.terms, request, ids.DECISION + body, ids.HOLD + body, AMOUNT)
        asked.risk = Risk("rs_1", NOON, "", (), 0)
        packed = records.encode_asked(asked, self.terms)
        order = plan.assemble(self.terms, asked, request, packed, self.now_ms + 50)
        return asked, await self.store.authorize(order)

    def gateway(self, ledger: Any = None) -> Any:
        async def nothing(*_: object) -> None:
            return None

        async def terms(*_: object) -> object:
            return self.terms

        async def none(*_: object) -> tuple[()]:
            return ()

        async def cited(*_: object) -> object:
            return NOTHING_CITED

        return SimpleNamespace(
            store=self.store,
            rules=SimpleNamespace(of=cited, shadows_of=none),
            profiles=SimpleNamespace(refresh=nothing, load=nothing, terms=terms),
            clock=SimpleNamespace(now_ms=lambda: self.now_ms),
            ledger=SimpleNamespace(hold=ledger or nothing),
            outage=SimpleNamespace(note_held=lambda decision, _: self.held.append(decision)),
        )

    async def left(self) -> int:
        snapshot = await self.store.snapshot("acme", (f"g/{self.grant.id}",))
        return snapshot.balances[0]


async def test_it_is_captured_at_once_and_once() -> None:
    world = World()
    asked, reply = await world.begin()
    assert asked.settles_itself
    assert reply.status is Status.DONE
    for _ in range(3):
        await enforcement.after(world.gateway(), asked, reply)
        found = await world.store.hold(asked.hold_id)
        assert found is not None
        assert (found[0].state, found[0].captured) == (HoldStatus.captured, AMOUNT)
    assert await world.left() == 300


async def test_a_repeated_call_captures_what_expired_meanwhile() -> None:
    world = World()
    asked, reply = await world.begin()
    world.now_ms += enforcement.SETTLES_WITHIN_MS + 1
    assert await world.store.expire(range(keys.SHARDS), 10) == 1
    assert await world.left() == 1_000
    for _ in range(2):
        await enforcement.after(world.gateway(), asked, reply)
    found = await world.store.hold(asked.hold_id)
    assert found is not None
    assert (found[0].captured, found[0].late) == (AMOUNT, True)
    assert await world.left() == 300


async def test_what_is_gone_from_the_store_counts_if_the_ledger_has_it_captured() -> None:
    world = World()
    asked, reply = await world.begin()
    await enforcement.after(world.gateway(), asked, reply)
    found = await world.store.hold(asked.hold_id)
    world.store.shards[keys.shard_of("acme")].holds.clear()

    async def kept(_: str) -> object:
        return found

    await enforcement.after(world.gateway(kept), asked, reply)
    with pytest.raises(Unavailable):
        await enforcement.after(world.gateway(), asked, reply)
