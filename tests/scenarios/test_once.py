"""S6, S8: one key is one effect, and an adjustment sees what is on its way to the ledger."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlparse

import msgspec
import pytest

from gateway.core.commands import Moved
from tests.chaos.kills import children
from tests.gateways import Caller, Gateway
from tests.scenarios.books import Books
from tests.scenarios.steps import funds, version


@dataclass
class Act:
    """A POST that changes something: where, with what, what else, and its mark in the ledger."""

    path: str
    body: dict[str, Any]
    other: dict[str, Any]
    kind: str
    after: tuple[int, int, int]


AUTHORIZE = "/v1/authorize"
ACTS: dict[str, Callable[[str, str, str], Act]] = {
    # Each org has 1000 granted, and a hold of 100 that stands.
    "authorize": lambda org, hold, grant: Act(
        AUTHORIZE,
        {"subject": {"org": org}, "product": "cent", "amount_micros": 7},
        {"subject": {"org": org}, "product": "cent", "amount_micros": 8},
        "authorize",
        (893, 107, 0),
    ),
    "charge": lambda org, hold, grant: Act(
        AUTHORIZE,
        {"subject": {"org": org}, "product": "cent", "amount_micros": 7, "capture": True},
        {"subject": {"org": org}, "product": "cent", "amount_micros": 7},
        "authorize",
        (893, 100, 0),
    ),
    "capture": lambda org, hold, grant: Act(
        f"/v1/holds/{hold}/capture", {"amount_micros": 60}, {"amount_micros": 61}, "finish",
        (940, 0, 0),
    ),
    "capture more": lambda org, hold, grant: Act(
        f"/v1/holds/{hold}/capture", {"amount_micros": 1060}, {"amount_micros": 61}, "finish",
        (0, 0, 60),
    ),
    "extend": lambda org, hold, grant: Act(
        f"/v1/holds/{hold}/extend", {"amount_micros": 11}, {"amount_micros": 12}, "extend",
        (889, 111, 0),
    ),
    "release": lambda org, hold, grant: Act(
        f"/v1/holds/{hold}/release", {}, {}, "finish", (1000, 0, 0)
    ),
    "grant": lambda org, hold, grant: Act(
        f"/v1/orgs/{org}/grants",
        {"amount_micros": 500, "kind": "paid"},
        {"amount_micros": 500, "kind": "promotional"},
        "grant",
        (1400, 100, 0),
    ),
    "void": lambda org, hold, grant: Act(
        f"/v1/orgs/{org}/grants/{grant}/void", {}, {}, "void", (0, 100, 0)
    ),
    "adjustment": lambda org, hold, grant: Act(
        f"/v1/orgs/{org}/adjustments",
        {"amount_micros": -30, "kind": "correction", "note": "n"},
        {"amount_micros": -30, "kind": "correction", "note": "m"},
        "adjust",
        (870, 100, 0),
    ),
}  # fmt: skip


async def lose(caller: Caller, path: str, body: Any, key: str, after: str) -> None:
    """Send a request, and go away before its answer could be read."""
    address = urlparse(caller.address)
    data = msgspec.json.encode(body)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = [
        f"POST {path} HTTP/1.1",
        f"Host: {address.netloc}",
        f"Authorization: {caller.headers['Authorization']}",
        "Content-Type: application/json",
        f"Content-Length: {len(data)}",
        f'Idempotency-Key: "{key}"',
    ]
    writer.write("\r\n".join([*head, "", ""]).encode() + data)
    await writer.drain()
    if after == "the answer was on its way":
        await reader.read(1)
    writer.transport.abort()


async def raw(caller: Caller, path: str, body: Any, key: str) -> tuple[int, bytes, bool]:
    """Status, the very bytes, and whether it says that it is a replay."""
    assert caller.session is not None
    async with caller.session.post(
        caller.address + path,
        data=msgspec.json.encode(body),
        headers={**caller.headers, "Content-Type": "application/json", "Idempotency-Key": key},
    ) as answer:
        replayed = answer.headers.get("Idempotent-Replayed") == "true"
        return answer.status, await answer.read(), replayed


async def prepared(caller: Caller, org: str, act: str) -> Act:
    await caller.org(org)
    given = {"amount_micros": 1000, "kind": "paid"}
    grant = await caller.ok("POST", f"/v1/orgs/{org}/grants", given)
    hold = await caller.authorize(org, amount_micros=100)
    return ACTS[act](org, hold["hold"]["id"], grant["id"])


class TestS6OneKeyOneEffect:
    @pytest.mark.parametrize("after", ["the request was sent", "the answer was on its way"])
    @pytest.mark.parametrize("name", ACTS)
    async def test_an_answer_is_lost_and_four_retries_have_one_effect(
        self, caller: Caller, books: Books, org: str, name: str, after: str
    ) -> None:
        act = await prepared(caller, org, name)
        await lose(caller, act.path, act.body, "key-1", after)
        retries = [await raw(caller, act.path, act.body, "key-1") for _ in range(4)]
        assert [status for status, _, _ in retries] == [retries[0][0]] * 4
        assert retries[0][0] in (200, 201)
        assert len({body for _, body, _ in retries}) == 1, "the first answer again, byte for byte"
        assert all(replayed for _, _, replayed in retries[1:])
        if after == "the answer was on its way":
            assert retries[0][2]
        await self.had_one_effect(caller, books, org, act)

    @pytest.mark.parametrize("name", ACTS)
    async def test_five_at_the_same_time_have_one_effect(
        self, caller: Caller, books: Books, org: str, name: str
    ) -> None:
        act = await prepared(caller, org, name)
        answers = await asyncio.gather(
            *(raw(caller, act.path, act.body, "key-1") for _ in range(5))
        )
        # Still running: wait, or 409. Here they wait.
        assert len({(status, body) for status, body, _ in answers}) == 1, answers
        assert sorted(replayed for _, _, replayed in answers) == [False] + [True] * 4
        await self.had_one_effect(caller, books, org, act)

    async def had_one_effect(self, caller: Caller, books: Books, org: str, act: Act) -> None:
        if act.other != act.body:
            status, body, _ = await raw(caller, act.path, act.other, "key-1")
            problem = msgspec.json.decode(body)
            assert (status, problem["type"].rpartition(":")[2]) == (422, "idempotency_key_reused")
        assert await funds(caller, org) == act.after
        await books.agree(caller, org)
        standings = books.prefixes(org)
        before = {"authorize": 1, "grant": 1}.get(act.kind, 0)
        assert sum(s.kind == act.kind for s in standings) == before + 1
        last = standings[-1]
        assert (last.available, last.held, last.shortfall) == act.after

    async def test_the_first_answer_comes_again_even_if_the_same_were_refused_by_now(
        self, caller: Caller, org: str
    ) -> None:
        """A retry is never judged anew: not by prices, ranges or times that came later."""

        async def first_and_again(path: str, body: Any, meanwhile: Any = None) -> tuple[Any, Any]:
            first = await raw(caller, path, body, "k")
            assert first[0] in (200, 201), first
            if meanwhile is not None:
                await meanwhile
            return first[:2], (await raw(caller, path, body, "k"))[:2]

        # A grant up to the range; a grant that has expired since.
        full = {"amount_micros": 2**53 - 1, "kind": "promotional"}
        await caller.org(f"{org}-full")
        await caller.org(f"{org}-brief")
        # A hold up to the range, extended.
        await caller.org(f"{org}-huge", 2**53 - 1)
        hold = (await caller.authorize(f"{org}-huge", amount_micros=2**52))["hold"]["id"]
        # A price whose unit is gone; a hold that has ended.
        await version(caller, org, "v1", "2020-01-01T00:00:00Z", 10)
        await caller.ok("PUT", f"/v1/plans/{org}", {"rate_card": org})
        await caller.org(org, 1000, plan=org)
        ended = (await caller.authorize(org, amount_micros=1))["hold"]["id"]
        bought = {"subject": {"org": org}, "product": "thing", "quantity": {"units": 2}}
        renamed = version(caller, org, "v2", "2021-01-01T00:00:00Z", 10, "pages")

        soon = datetime.fromtimestamp(time.time() + 2, UTC).isoformat()
        brief = {"amount_micros": 5, "kind": "paid", "expires_at": soon}
        different = {}
        for name, path, body, meanwhile in (
            ("grant to the range", f"/v1/orgs/{org}-full/grants", full, None),
            ("grant that expired", f"/v1/orgs/{org}-brief/grants", brief, asyncio.sleep(2)),
            ("extend to the range", f"/v1/holds/{hold}/extend", {"amount_micros": 2**52 - 1}, None),
            ("unit that is gone", AUTHORIZE, bought, renamed),
            (
                "extend of a hold that ended",
                f"/v1/holds/{ended}/extend",
                {"amount_micros": 3},
                caller.release(ended),
            ),
        ):
            first, again = await first_and_again(path, body, meanwhile)
            if first != again:
                different[name] = (again[0], again[1][:200])
        assert different == {}

    async def test_a_key_is_one_orgs_and_one_paths(self, caller: Caller, org: str) -> None:
        for one in (f"{org}-a", f"{org}-b"):
            await caller.org(one, 1000)
            first = await caller.authorize(one, amount_micros=5, idempotency_key="same")
            again = await caller.authorize(one, amount_micros=5, idempotency_key="same")
            assert first == again
            captured = await caller.capture(first["hold"]["id"], "same", amount_micros=5)
            assert captured["captured_micros"] == 5
            assert await funds(caller, one) == (995, 0, 0)


@asynccontextmanager
async def ledger_stands_still(gateway: Gateway) -> AsyncIterator[None]:
    """The process that writes the ledger is stopped: what is spent stays in the queue."""
    assert gateway.process is not None
    (writer,) = [pid for pid, what in children(gateway.process.pid) if what == "background"]
    os.kill(writer, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(writer, signal.SIGCONT)


class TestS8AnAdjustmentSeesWhatIsInTheQueue:
    async def test_100_spend_1_set_to_50_spend_1_is_49(
        self, caller: Caller, gateway: Gateway, books: Books, org: str
    ) -> None:
        await caller.org(org, 100)
        await caller.reconciled()
        written = len(books.prefixes(org))
        async with ledger_stands_still(gateway):
            await caller.authorize(org, amount_micros=1, capture=True)
            body = {"set_available_micros": 50, "kind": "correction", "note": "agreed"}
            moved = await caller.ok("POST", f"/v1/orgs/{org}/adjustments", body)
            assert (moved["amount_micros"], moved["available_micros"]) == (-49, 50)
            await caller.authorize(org, amount_micros=1, capture=True)
            assert await funds(caller, org) == (49, 0, 0)
            assert len(books.prefixes(org)) == written, "the debits are still in the queue"
        await caller.reconciled()
        assert await funds(caller, org) == (49, 0, 0)
        assert [s.available for s in books.prefixes(org)] == [100, 99, 50, 49]

    @pytest.mark.parametrize("target", [50, 0, 100, 700])
    async def test_an_adjustment_among_racing_spends_sets_what_is_left_at_its_moment(
        self, caller: Caller, books: Books, org: str, target: int
    ) -> None:
        await caller.org(org, 100)

        async def spend(n: int) -> None:
            answer = await caller.authorize(org, amount_micros=1, capture=n % 2 == 0)
            if answer["hold"] and n % 4 == 1:
                await caller.release(answer["hold"]["id"])

        body = {"set_available_micros": target, "kind": "correction", "note": "race"}
        work = [spend(n) for n in range(40)]
        work.insert(20, caller.ok("POST", f"/v1/orgs/{org}/adjustments", body))
        await asyncio.gather(*work)
        await books.agree(caller, org)
        standings = books.prefixes(org)
        (adjusted,) = [s for s in standings if isinstance(s.out, Moved) and s.kind == "adjust"]
        assert adjusted.available == target
        assert min(s.available for s in standings) >= 0
        last = standings[-1]
        assert await funds(caller, org) == (last.available, last.held, 0)


async def test_after_all_this_the_whole_ledger_reconciles(caller: Caller) -> None:
    await caller.reconciled()
