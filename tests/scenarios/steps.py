"""Small steps that the scenarios share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any

import aiohttp

from tests.gateways import Caller, Gateway

CENT = 10_000


def codes(answer: Any) -> list[str]:
    return [reason["code"] for reason in answer["reasons"]]


async def funds(caller: Caller, org: str) -> tuple[int, int, int]:
    """What is available, what is held, what is owed."""
    balance = await caller.balance(org)
    return tuple(balance[f"{n}_micros"] for n in ("available", "held", "shortfall"))


async def cap(caller: Caller, org: str, limit: int, name: str = "cap", **more: Any) -> None:
    body = {"level": "org", "window": "lifetime", "limit_micros": limit, **more}
    await caller.ok("PUT", f"/v1/orgs/{org}/caps/{name}", body)


async def rate_limit(
    caller: Caller, org: str, unit: str, limit: int, name: str = "limit", window_s: int = 3600
) -> None:
    body = {"level": "org", "unit": unit, "limit": limit, "window_s": window_s}
    await caller.ok("PUT", f"/v1/orgs/{org}/rate_limits/{name}-{unit}", body)


async def until_nothing_is_held(caller: Caller, org: str, within_s: float = 10) -> None:
    last = time.monotonic() + within_s
    while (await funds(caller, org))[1]:
        assert time.monotonic() < last, f"{org} still has money on hold"
        await asyncio.sleep(0.05)


async def eventually(read: Callable[[], Awaitable[Any]], wanted: Any, within_s: float = 10) -> None:
    """Wait until reading gives what is wanted.

    A connection to a killed process may break off, and what a store that hung is asked for may be
    refused for a while: neither is the last word.
    """
    last, found = time.monotonic() + within_s, object()
    while found != wanted:
        assert time.monotonic() < last, (found, wanted)
        try:
            found = await read()
        except (aiohttp.ClientConnectionError, AssertionError) as error:
            found = error
        if found != wanted:
            await asyncio.sleep(0.1)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@asynccontextmanager
async def callers_of_every_worker(gateway: Gateway, count: int = 12) -> AsyncIterator[list[Caller]]:
    """Callers with a connection each: the kernel spreads them over the workers."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Caller(gateway.address)) for _ in range(count)]


async def version(
    caller: Caller, card: str, name: str, since: str, price: int, unit: str = "units"
) -> None:
    """A version of a rate card in which a unit of `thing` costs so many micros."""
    body = {
        "effective_at": since,
        "currency": "USD",
        "products": {"thing": {unit: price * 1_000_000}},
    }
    await caller.ok("PUT", f"/v1/rate_cards/{card}/versions/{name}", body)
