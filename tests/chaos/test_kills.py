"""V2: kill -9 of every process under load: nothing acknowledged is lost or doubled."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.chaos.audit import audit, reconciled_in_time
from tests.chaos.kills import IS_LONG, KINDS, kill_now_and_then
from tests.chaos.world import Heard, set_up, spending
from tests.gateways import Caller, running

TIMES = int(os.environ.get("CHAOS_KILLS", "2"))
CALLERS = 12


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), KINDS] if IS_LONG else [KINDS])
async def test_kill_9_under_load_loses_and_doubles_nothing(
    tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    heard = Heard()
    with running(tmp_path, workers=2) as gateway:
        async with Caller(gateway.address) as caller:
            await set_up(caller)
            async with spending(caller, heard, CALLERS):
                faults = await kill_now_and_then(gateway, kinds, TIMES, 1, (0.3, 1.5))
                await asyncio.sleep(2)
            await reconciled_in_time(caller)
    assert faults == dict.fromkeys(kinds, TIMES)
    await audit(gateway, heard, faults)
    assert len(heard.decisions) > 100
