"""Handlers of the ledger."""

from __future__ import annotations

from gateway.errors import CallerError
from gateway.flows.accounts.usage import usage as used
from gateway.flows.books import reports
from gateway.flows.operations.reconcile import reconciliation
from gateway.http.endpoint import Answered, Call
from gateway.http.query import time_in
from gateway.http.services import Services
from gateway.wire.answers.balance import UsageAnswer
from gateway.wire.answers.books import HeadAnswer, ReconcileAnswer, TrialBalanceAnswer

GROUPS = ("product", "day")
DAY_S = 86_400


async def trial_balance(services: Services, call: Call[None]) -> Answered[TrialBalanceAnswer]:
    """GET /v1/ledger/trial_balance."""
    call.caller.check_unbound("see all books")
    return Answered(await reports.trial_balance(services))


async def reconcile(services: Services, call: Call[None]) -> Answered[ReconcileAnswer]:
    """GET /v1/ledger/reconcile."""
    call.caller.check_unbound("see all books")
    return Answered(await reconciliation(services))


async def head(services: Services, call: Call[None]) -> Answered[HeadAnswer]:
    """GET /v1/ledger/head."""
    call.caller.check_unbound("see all books")
    return Answered(await reports.head(services))


async def usage(services: Services, call: Call[None]) -> Answered[UsageAnswer]:
    """GET /v1/orgs/{org}/usage."""
    now_ms = services.clock.now_ms()
    span = (
        time_in(call.query.get("from"), "from", now_ms - 30 * DAY_S * 1000),
        time_in(call.query.get("to"), "to", now_ms + 1),
    )
    asked = call.query.get("group_by", ",".join(GROUPS))
    names = tuple(dict.fromkeys(name for name in asked.split(",") if name))
    if not set(names) <= set(GROUPS):
        raise CallerError("invalid_request", f"group_by takes {', '.join(GROUPS)}, not {asked!r}")
    return Answered(await used(services, call.ids["org"], span, names, call.caller))
