"""S17: one request touches as many keys in an org of 10,000 as in an org of one."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec

from gateway.core.entities import Member, MemberKind
from gateway.store import keys
from gateway.store.pipeline import Pipeline, parse_url
from tests.gateways import Caller, Gateway
from tests.scenarios.steps import cap, codes

MEMBERS: tuple[MemberKind, ...] = ("project", "user", "key")
LEVELS = ("org", "project", "user", "key", "run")


class TestS17ALargeOrg:
    """One request touches as many keys in an org of 10,000 as in an org of one."""

    MEMBERS = 10_000

    async def test_a_request_touches_o_of_levels_keys(
        self, caller: Caller, gateway: Gateway, org: str
    ) -> None:
        small, large = f"{org}-small", f"{org}-large"
        for one, members in ((small, 1), (large, self.MEMBERS)):
            await caller.org(one, 10_000_000)
            for level in LEVELS:
                # Each one of a level has a cap of its own; some have another for them alone.
                await cap(caller, one, 9_000_000, f"each-{level}", level=level)
            await cap(caller, one, 8_000_000, "user-m0", level="user", target="m0")
            self.register(gateway, one, members)
            # An admin change, so that what was registered is known to every worker.
            await caller.ok("PUT", f"/v1/orgs/{one}/users/m0", {"name": "the first"})
            await self.many_spend(caller, one, range(0, members, 5))

        # Five levels with a cap, its list of targets, and the signals; money; the shard's own.
        steps = {"first of a member": 45, "again": 35, "denied": 35, "capture": 35, "release": 35}
        for step, most in steps.items():
            in_small = await self.keys_touched(gateway, small, caller, step)
            in_large = await self.keys_touched(gateway, large, caller, step)
            assert 5 < len(in_large) <= most, (step, sorted(in_large))
            assert len(in_large) == len(in_small), (step, in_small ^ in_large)
        await caller.reconciled()

    def register(self, gateway: Gateway, org: str, members: int) -> None:
        """Members as an import would bring them: straight into the catalog."""
        rows = [
            (org, kind, f"m{n}", msgspec.json.encode(Member(kind, f"m{n}")))
            for n in range(members)
            for kind in MEMBERS
        ]
        with sqlite3.connect(gateway.directory / "catalog.db", timeout=30) as catalog:
            catalog.executemany(
                "INSERT INTO members (org, kind, id, spec) VALUES (?, ?, ?, ?)", rows
            )

    async def many_spend(self, caller: Caller, org: str, members: range) -> None:
        """So that each of them has counters of its own."""
        requests = [
            {
                "subject": {"org": org, "project": f"m{n}", "user": f"m{n}", "key": f"m{n}"},
                "product": "cent",
                "amount_micros": 10,
                "capture": True,
                "run": f"run-{n}",
            }
            for n in members
        ]
        for at in range(0, len(requests), 500):
            batch = {"requests": requests[at : at + 500]}
            answers = await caller.ok("POST", "/v1/authorize/batch", batch)
            assert {a["decision"] for a in answers["results"]} == {"allow"}

    async def spend(self, caller: Caller, org: str, n: int, **more: Any) -> Any:
        member = {"project": f"m{n}", "user": f"m{n}", "key": f"m{n}"}
        asked = {"amount_micros": 10, "capture": True, "run": f"run-{n}", **more}
        answer = await caller.authorize(org, **member, **asked)
        caps = {limit["id"] for limit in answer["limits"]}
        assert {f"each-{level}" for level in LEVELS} <= caps
        return answer

    async def keys_touched(self, gateway: Gateway, org: str, caller: Caller, step: str) -> set[str]:
        """The distinct keys of the org's shard that the store saw during one call.

        The least of some tries: the first call of a worker reads what the org is.
        """
        own = re.compile(rf'"({re.escape(keys.tag(keys.shard_of(org)))}/[^"]*)"')
        tries = []
        for n in range(8):
            hold = None
            if step in ("capture", "release"):
                hold = (await self.spend(caller, org, 0, capture=False))["hold"]["id"]
            async with monitored(gateway) as lines:
                if step == "capture":
                    await caller.capture(hold, amount_micros=15)
                elif step == "release":
                    await caller.release(hold)
                elif step == "denied":
                    answer = await self.spend(caller, org, 0, amount_micros=9_500_000)
                    assert "cap_exceeded" in codes(answer)
                else:
                    run = {"run": f"another-{n}"} if step == "first of a member" else {}
                    await self.spend(caller, org, 0, **run)
            tries.append({k.replace(org, "<org>") for line in lines for k in own.findall(line)})
        return min(tries, key=len)


@asynccontextmanager
async def monitored(gateway: Gateway) -> AsyncIterator[list[str]]:
    """Every command that the store runs meanwhile, also those inside functions."""
    lines: list[str] = []
    path = parse_url(gateway.store_url).path
    reader, writer = await asyncio.open_unix_connection(path, limit=2**22)
    writer.write(b"MONITOR\r\n")
    assert await reader.readline() == b"+OK\r\n"
    done = asyncio.Event()

    async def read() -> None:
        while not done.is_set():
            line = (await reader.readline()).decode("latin-1")
            lines.append(line)
            if '"the end"' in line:
                done.set()

    reading = asyncio.create_task(read())
    store = Pipeline(parse_url(gateway.store_url), deadline_s=10)
    try:
        yield lines
        await store.call("ECHO", "the end")
        await asyncio.wait_for(done.wait(), 10)
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        writer.close()
        await store.close()
