"""Start, follow and cancel backtests through any worker."""

from __future__ import annotations

import asyncio

from msgspec import json
from msgspec.structs import replace

from gateway.catalog.backtests import CANCELLED, DONE, FAILED, RUNNING, Run
from gateway.errors import CallerError, SpendgateError
from gateway.flows.analysis.backtest import Backtest, Span, Stopped, backtest
from gateway.flows.rollout.rule_sets import CHANGE, find
from gateway.flows.rollout.services import RolloutServices
from gateway.flows.shared.caller import Caller
from rules.engine import Phased

BACKTEST = "bt_"
PATIENCE_S = 10.0
"""So long the caller that began it waits for its end."""
NOTED_EVERY_S = 0.3
LOST_MS = 30_000
"""Of a running one something is seen more often, or its worker died."""
MOST = 4
"""At the same time; each keeps a thread of its worker busy."""
LOST = "lost"

result_of = json.Decoder(Backtest).decode


async def begin(services: RolloutServices, ruleset: str, span: Span, caller: Caller) -> Run:
    """Backtest a rule set: the end of it, or how far it is when that takes longer. Raises 404."""
    caller.check_unbound(CHANGE)
    await find(services, ruleset)
    phased, now_ms = await services.rules.compiled(ruleset), services.clock.now_ms()
    if await services.backtests.running(now_ms - LOST_MS) >= MOST:
        detail = f"{MOST} backtests are running; wait for one, or cancel it"
        raise CallerError("too_many_backtests", detail)
    name = BACKTEST + services.new_id_body(ruleset)
    run = Run(name, ruleset, caller.credential.id, RUNNING, 0, 0, now_ms)
    await services.backtests.begin(run)
    task = asyncio.create_task(_run(services, run, phased, span))
    services.tasks.add(task)
    task.add_done_callback(services.tasks.discard)
    await asyncio.wait([task], timeout=PATIENCE_S)
    return await look(services, name, caller)


async def look(services: RolloutServices, name: str, caller: Caller) -> Run:
    """Find a backtest with its progress or result. Raises 404."""
    caller.check_unbound(CHANGE)
    run = await services.backtests.find(name)
    if run is None:
        raise CallerError("not_found", f"there is no backtest {name}")
    return _as_seen(services, run)


def _as_seen(services: RolloutServices, run: Run) -> Run:
    """The job as it is now: one that no worker reports on any more is lost."""
    if run.state == RUNNING and run.seen_ms < services.clock.now_ms() - LOST_MS:
        return replace(run, state=LOST)
    return run


async def listed(services: RolloutServices, after: str, limit: int, caller: Caller) -> list[Run]:
    """List backtests in the order of their ids, from the one after `after`."""
    caller.check_unbound(CHANGE)
    return [_as_seen(services, run) for run in await services.backtests.listed(after, limit)]


async def cancel(services: RolloutServices, name: str, caller: Caller) -> None:
    """End a backtest, unless it has ended. Raises 404."""
    await look(services, name, caller)
    await services.backtests.cancel(name)


async def _run(services: RolloutServices, run: Run, phased: Phased, span: Span) -> None:
    loop, backtests = asyncio.get_running_loop(), services.backtests
    looked_at, rows, noted_at_s = 0, 0, 0.0

    def far(state: str, result: bytes = b"") -> Run:
        now_ms = services.clock.now_ms()
        return replace(
            run, state=state, looked_at=looked_at, rows=rows, seen_ms=now_ms, result=result
        )

    async def progress(done: int, of: int) -> None:
        nonlocal looked_at, rows, noted_at_s
        looked_at, rows = done, of
        if loop.time() - noted_at_s > NOTED_EVERY_S:
            noted_at_s = loop.time()
            if not await backtests.note(far(RUNNING)):
                raise Stopped

    try:
        found = await backtest(services, phased, span, progress)
        await backtests.note(far(DONE, json.encode(found)))
    except Stopped:
        return
    except asyncio.CancelledError:
        await backtests.note(far(CANCELLED))
        raise
    except Exception as error:
        detail = error.detail if isinstance(error, SpendgateError) else type(error).__name__
        await backtests.note(far(FAILED, detail.encode()))
