"""A picture of the hot state, for comparing: what a rebuild must bring back, key by key."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from gateway.core.holds import HoldStatus
from gateway.store.codec import decode_hold
from gateway.store.pipeline import Pipeline, parse_url

ANEW = re.compile(
    r"//(stream|epoch|lock|offers|v\.\w+/.*)$"  # the shard's own
    r"|/v\.grants$"  # higher in each epoch
    r"|^\{d\}/|/lease/"  # whose the store is, how far it is booked, who does what for all
    r"|/(s/|r[op]/.*/(requests|tokens)\d+/)"  # signals and rate limits may start anew
)


QUIET_S = 1.5
"""Longer than it takes until a decision nobody heard of is undone."""


async def settled(url: str) -> dict[str, Any]:
    """A picture of a store in which nothing moves any more."""
    before = await picture(url)
    for _ in range(20):
        await asyncio.sleep(QUIET_S)
        now = await picture(url)
        if now == before:
            return now
        before = now
    raise AssertionError("the store does not come to rest")


async def picture(url: str) -> dict[str, Any]:
    """Every key that matters, its value and when it expires."""
    store = Pipeline(parse_url(url), deadline_s=30)
    found: dict[str, Any] = {}
    cursor = b"0"
    try:
        while True:
            cursor, names = await store.call("SCAN", cursor, "COUNT", 1000)
            for raw in names:
                name = raw.decode()
                if not ANEW.search(name):
                    value = await _value(store, name)
                    if value is not None:
                        found[name] = value
            if cursor == b"0":
                return found
    finally:
        await store.close()


async def _value(store: Pipeline, name: str) -> Any:
    kind = (await store.call("TYPE", name)).decode()
    expires_ms = await store.call("PEXPIRETIME", name)
    if kind == "hash":
        flat = await store.call("HGETALL", name)
        return dict(zip(flat[::2], flat[1::2], strict=True)), expires_ms
    if kind == "set":
        return sorted(await store.call("SMEMBERS", name)), expires_ms
    if kind == "zset":
        return await store.call("ZRANGE", name, 0, -1, "WITHSCORES")
    value = await store.call("GET", name)
    if value is None:
        return None
    if "//claim/" in name:
        # Built a little longer than it was kept; one that was told stands without its claim.
        return value if value == b"undone" else None
    if "//hold/" in name:
        hold, _ = decode_hold(value)
        if hold.state in (HoldStatus.captured, HoldStatus.released):
            return None  # it answers from the ledger
    return value, expires_ms


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The keys of which two pictures differ, told for a person."""
    return [
        f"{name}: {before.get(name)} → {after.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
