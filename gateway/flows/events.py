"""What the business saw outside authorize: recorded, and counted for whoever reads it."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from gateway.core import ids
from gateway.core.orders import EventOrder, Moved, Status
from gateway.core.record import Happened
from gateway.errors import CallerError
from gateway.flows.context import masked
from gateway.flows.funds import moved_of
from gateway.flows.gateway import Caller, Gateway
from gateway.flows.labels import CLOCKS_DIFFER_MS
from gateway.wire import records
from gateway.wire.decode import milliseconds
from gateway.wire.messages import EventBody


class Told(Struct, frozen=True):
    """An event as it was recorded, when it happened, and whether it was told before."""

    moved: Moved
    at_ms: int
    is_replay: bool


async def tell(gateway: Gateway, body: EventBody, caller: Caller) -> Told:
    """Record an event once, and count it when it happened. Raises CallerError or Unavailable."""
    subject, now_ms = body.subject, gateway.clock.now_ms()
    caller.check_org(subject.org)
    at_ms = milliseconds(body.at)
    if at_ms is not None and at_ms > now_ms + CLOCKS_DIFFER_MS:
        raise CallerError("invalid_request", "it lies in the future", pointer="/at")
    happened = Happened(
        body.type,
        subject.project or "",
        subject.user or "",
        subject.key or "",
        now_ms if at_ms is None else at_ms,
        body.amount_micros or 0,
        masked(body.context, gateway.secret),
        caller.credential.id,
        is_bound=bool(caller.credential.org),
    )
    tallying = gateway.rules.policies.tallying
    tallies = tallying.told(subject.org, happened)
    if tallying:
        happened = replace(happened, tallied=tallying.note())
    order = EventOrder(
        subject.org,
        body.type,
        ids.EVENT + gateway.new_id_body(subject.org),
        happened.at_ms,
        happened.amount,
        records.encode(happened),
        tallies,
        caller.idempotency(subject.org, body, gateway.settings.admin_kept_s),
    )
    reply = await gateway.store.event(order)
    moved = moved_of(reply)
    if reply.status is not Status.REPLAY:
        return Told(moved, happened.at_ms, is_replay=False)
    return Told(moved, records.decode_happened(reply.body).at_ms, is_replay=True)
