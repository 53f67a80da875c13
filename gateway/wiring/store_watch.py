"""Warn the operator of the store's memory filling up and its clock jumping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from gateway.errors import SpendgateError
from gateway.observe.metrics import CountingHooks
from gateway.store.port import Store
from gateway.store.shards import Shards

LOOK_S = 2.0
ALARM = 0.8
"""Used share of the memory from which an alarm is logged: at 0.9 new free users are refused."""
JUMP_MS = 2_000
"""A clock that moved by so much more or less than time passed was set, or its machine slept."""


class StoreWatch:
    """Says once what begins to be wrong with a store, and counts it."""

    def __init__(
        self, shards: Shards, store: Store, hooks: CountingHooks, on_event: Callable[[str], None]
    ) -> None:
        self._shards = shards
        self._store = store
        self._hooks = hooks
        self._on_event = on_event
        self._is_full = False
        self._offset_ms: float | None = None

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            with suppress(SpendgateError):
                self.look_at_memory(*await self._shards.memory())
                before_s = time.monotonic()
                now_ms = await self._store.ping()
                self.look_at_clock(now_ms, (before_s + time.monotonic()) / 2)
            await asyncio.sleep(LOOK_S)

    def look_at_memory(self, used: int, most: int) -> None:
        """Bytes that the store uses, of those it may."""
        self._hooks.set_memory(used, most)
        is_full = bool(most) and used >= ALARM * most
        if is_full and not self._is_full:
            self._on_event(
                f"the store uses {used / most:.0%} of its {most >> 20} MiB: at 90 % new free users"
                " are refused, at 100 % all new requests"
            )
        self._is_full = is_full

    def look_at_clock(self, now_ms: int, passed_s: float) -> None:
        """Compare the store's clock with a monotonic one."""
        offset_ms = now_ms - 1000 * passed_s
        jump_ms = 0.0 if self._offset_ms is None else offset_ms - self._offset_ms
        self._offset_ms = offset_ms
        if abs(jump_ms) >= JUMP_MS:
            self._hooks.on_clock_jump()
            self._on_event(
                f"the store's clock jumped by {jump_ms / 1000:+.1f} s: windows and the expiry of"
                " holds go by it; keep it steady (NTP that slews)"
            )
