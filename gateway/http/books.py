"""Handlers of the ledger."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.errors import CallerError
from gateway.flows import books, decisions, replays
from gateway.flows.gateway import Gateway
from gateway.flows.reconcile import Reconciler, lag_s
from gateway.http.endpoint import Answered, Call
from gateway.wire.stories import ReplayAnswer

GROUPS = ("product", "day")
DAY_S = 86_400
MOST_DIFFERENCES = 100


async def trial_balance(gateway: Gateway, call: Call) -> Answered:
    """GET /v1/ledger/trial_balance."""
    call.caller.check_unbound("see all books")
    return Answered(await books.trial_balance(gateway))


async def reconcile(gateway: Gateway, call: Call) -> Answered:
    """GET /v1/ledger/reconcile."""
    call.caller.check_unbound("see all books")
    parts = Reconciler(gateway.store, gateway.catalog, gateway.ledger, gateway.profiles)
    report = await parts.everything()
    return Answered(
        {
            "ok": report.is_ok,
            "checked": {"orgs": report.orgs, "holds": report.holds},
            "lag_s": await lag_s(gateway.ledger, gateway.store),
            "differences": report.differences[:MOST_DIFFERENCES],
        }
    )


async def head(gateway: Gateway, call: Call) -> Answered:
    """GET /v1/ledger/head."""
    call.caller.check_unbound("see all books")
    return Answered(await books.head(gateway))


async def get_decision(gateway: Gateway, call: Call) -> Answered:
    """GET /v1/decisions/{id}."""
    return Answered(await decisions.get(gateway, call.ids["id"], call.caller))


async def replay_decision(gateway: Gateway, call: Call) -> Answered:
    """POST /v1/decisions/{id}/replay."""
    found = await replays.replay(gateway, call.ids["id"], call.caller)
    recorded = None if found.is_same else found.recorded
    return Answered(
        ReplayAnswer(
            id=call.ids["id"],
            same=found.is_same,
            answer=found.again[0],
            risk=decisions.risk_told(found.again[1]),
            recorded=recorded[0] if recorded else None,
            recorded_risk=decisions.risk_told(recorded[1]) if recorded else None,
        )
    )


async def usage(gateway: Gateway, call: Call) -> Answered:
    """GET /v1/orgs/{org}/usage."""
    now_ms = gateway.clock.now_ms()
    span = (
        _moment(call.query.get("from"), "from", now_ms - 30 * DAY_S * 1000),
        _moment(call.query.get("to"), "to", now_ms + 1),
    )
    asked = call.query.get("group_by", ",".join(GROUPS))
    names = tuple(dict.fromkeys(name for name in asked.split(",") if name))
    if not set(names) <= set(GROUPS):
        raise CallerError("invalid_request", f"group_by takes {', '.join(GROUPS)}, not {asked!r}")
    return Answered(await books.usage(gateway, call.ids["org"], span, names, call.caller))


def _moment(text: str | None, name: str, default_ms: int) -> int:
    if text is None:
        return default_ms
    try:
        at = datetime.fromisoformat(text)
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        detail = f"{name} must be an RFC 3339 time or a date, not {text!r}"
        raise CallerError("invalid_request", detail) from None
