"""Record business events and count them in velocity counters."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct
from msgspec.structs import replace

from gateway.catalog.labels import Label
from gateway.core import ids, names
from gateway.core.commands import EventOrder, Idempotency, Moved, Reply, Status
from gateway.core.request_record import EventRecord, RequestRecord
from gateway.errors import CallerError
from gateway.flows.risk.services import RiskServices
from gateway.flows.shared.caller import DIGEST_BYTES, Caller
from gateway.flows.shared.pseudonyms import masked
from gateway.flows.shared.replies import moved_of
from gateway.flows.shared.user_ids import known_as
from gateway.wire import records
from gateway.wire.decode import milliseconds
from gateway.wire.requests.risk import EventBody

CLOCKS_DIFFER_MS = 60_000
"""Time in ms that an observer's clock may be ahead of ours."""
LABELLED = "labelled_"
"""Begin of the types of events that record a label."""


class Recorded(Struct, frozen=True):
    """A recorded event, the time it happened (Unix ms), and whether this is a retry."""

    moved: Moved
    at_ms: int
    is_replay: bool


@dataclass(frozen=True)
class Logged:
    """An event in the ledger: its row, its record, and what was reported."""

    row: int
    moved: Moved
    happened: EventRecord


async def page(
    services: RiskServices, org: str, before: int, limit: int, caller: Caller
) -> list[Logged]:
    """List the events of an org, the newest first, before a row of the ledger.

    Raises CallerError for another org than the credential's.
    """
    caller.check_org(org)
    found = []
    for row, line in await services.ledger.events(org, before, limit):
        moved, happened = records.decode(line)
        assert isinstance(moved, Moved) and isinstance(happened, EventRecord)
        found.append(Logged(row, moved, happened))
    return found


async def record(services: RiskServices, body: EventBody, caller: Caller) -> Recorded:
    """Record an event once, counted when it happened. Raises CallerError or Unavailable."""
    subject, now_ms = body.subject, services.clock.now_ms()
    caller.check_org(subject.org)
    at_ms = milliseconds(body.at)
    if at_ms is not None and at_ms > now_ms + CLOCKS_DIFFER_MS:
        raise CallerError("invalid_request", "it lies in the future", pointer="/at")
    happened = EventRecord(
        body.type,
        subject.project or "",
        known_as(services, subject.user or ""),
        subject.key or "",
        now_ms if at_ms is None else at_ms,
        body.amount_micros or 0,
        masked(body.context, services.secret),
        caller.credential.id,
        is_bound=bool(caller.credential.org),
    )
    once = caller.idempotency(subject.org, body, services.settings.admin_kept_s)
    reply = await _append(services, subject.org, happened, once)
    moved = moved_of(reply)
    if reply.status is not Status.REPLAY:
        return Recorded(moved, happened.at_ms, is_replay=False)
    return Recorded(moved, records.decode_happened(reply.body).at_ms, is_replay=True)


async def record_label(
    services: RiskServices, asked: RequestRecord, label: Label, caller: Caller
) -> None:
    """Count a label from now on; the same label counts once a day.

    It counts when it is recorded, not when it was observed: decisions in between did not know it.
    Raises Unavailable.
    """
    terms = asked.terms
    happened = EventRecord(
        LABELLED + label.label,
        terms.project,
        terms.user,
        terms.key,
        services.clock.now_ms(),
        asked.amount,
        asked.context,
        label.author,
        is_bound=bool(caller.credential.org),
    )
    kept_ms = 1000 * services.settings.admin_kept_s
    once = Idempotency(
        names.outcome(f"{label.label}.{label.decision}"), bytes(DIGEST_BYTES), kept_ms
    )
    await _append(services, terms.org, happened, once)


async def _append(
    services: RiskServices, org: str, happened: EventRecord, once: Idempotency | None
) -> Reply:
    tallying = services.rules.policies.tallying
    tallies = tallying.of_event(org, happened)
    if tallying:
        happened = replace(happened, tallied=tallying.note())
    order = EventOrder(
        org,
        happened.type,
        ids.EVENT + services.new_id_body(org),
        happened.at_ms,
        happened.amount,
        records.encode(happened),
        tallies,
        once,
    )
    return await services.store.event(order)
