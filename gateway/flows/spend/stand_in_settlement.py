"""After an outage, reverse unacknowledged decisions and charge stand-in approvals.

The ledger says what the store did before it stopped answering; the plans' own time limits say that
nothing of it can still happen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from gateway.catalog.credentials import ALL_SCOPES, Credential
from gateway.core import ids, names, plan
from gateway.core.commands import Finish, Idempotency, Mode, Status
from gateway.core.entities import Profile
from gateway.core.holds import Step
from gateway.core.money import shown
from gateway.core.pricing import cost_micros
from gateway.core.request_record import EndNote, RequestRecord, Reversal
from gateway.errors import CallerError, Unavailable
from gateway.flows.accounts import credits
from gateway.flows.shared.caller import Caller
from gateway.flows.shared.replies import when_stale
from gateway.flows.spend import holds
from gateway.flows.spend.services import SpendServices
from gateway.flows.spend.stand_in import unlimited_terms
from gateway.flows.spend.stand_in_state import StandInApproval, Unacknowledged, decode_opened
from gateway.ledger.reader import Decided
from gateway.store.port import UNDONE
from gateway.wire import records
from gateway.wire.requests.accounts import AdjustmentBody
from gateway.wire.requests.spend import CaptureBody

SETTLE_AFTER_S = 0.25
"""Beyond the deadline: nothing that was asked before can be decided any more."""
CATCH_UP_S = 3.0
AT_A_TIME = 500
NO_DIGEST = bytes(16)
UNDO_KEPT_MS = 600_000
OURSELVES = Credential("spendgate", "spendgate", ALL_SCOPES, "")


async def settle(services: SpendServices, on_event: Callable[[str], None]) -> None:
    """Reverse and charge what an outage left. Raises Unavailable while store or ledger are down.

    `on_event` reports what cannot be settled, for a person to settle by hand.
    """
    await _reverse_unacknowledged(services, on_event)
    outage = services.outage
    if outage.journal.waiting:
        entries = list(outage.journal.waiting)
        await _charge(services, entries, on_event)
        await outage.journal.forget(len(entries))
        if not outage.journal.waiting:
            outage.end()
    for path, entries in outage.journal.orphans():
        await _charge(services, entries, on_event)
        path.unlink(missing_ok=True)


async def _reverse_unacknowledged(services: SpendServices, on_event: Callable[[str], None]) -> None:
    loop, unacknowledged = asyncio.get_running_loop(), services.outage.unacknowledged
    wait_s = services.settings.decision_deadline_ms / 1000 + SETTLE_AFTER_S
    while unacknowledged and unacknowledged[0].at_s + wait_s < loop.time():
        due = [u for u in list(unacknowledged)[:AT_A_TIME] if u.at_s + wait_s < loop.time()]
        decided = await _decided(services, [u.decision_id for u in due])
        for one in due:
            found = decided.get(one.decision_id)
            try:
                if found is not None and found.allowed:
                    await _reverse(services, one, found)
            except CallerError as error:
                on_event(f"{one.decision_id} was never acknowledged and is not reversed: {error}")
            unacknowledged.popleft()


async def _decided(services: SpendServices, decisions: Iterable[str]) -> dict[str, Decided]:
    """Outcomes of these decisions, read from the ledger once it has caught up."""
    wanted = list(decisions)
    for shard in {ids.shard_in(decision) for decision in wanted} - {None}:
        assert shard is not None
        await services.ledger.reach(shard, await services.store.last(shard), CATCH_UP_S)
    return await services.ledger.decided(wanted)


async def _reverse(services: SpendServices, one: Unacknowledged, decided: Decided) -> None:
    if await services.store.claim(one.decision_id, UNDONE) != UNDONE:
        # A repeated call was told of it meanwhile: it stands.
        return
    if one.idempotency is not None:
        await services.store.forget(one.org, one.idempotency)
    captured = decided.captured_micros
    # Said in the record, so that a store which is built anew forgets it, too.
    undo = Reversal(one.decision_id, one.idempotency.name if one.idempotency else "")
    if decided.hold:
        note = records.encode(EndNote(None, 0, OURSELVES.id, undo=undo))
        once = Idempotency(names.outcome(UNDONE, one.decision_id), NO_DIGEST, UNDO_KEPT_MS)
        order = Finish(one.org, decided.hold, Step.release, body=note, idempotency=once)
        reply = await services.store.finish(order)
        if reply.status is Status.CLOSED:
            raise Unavailable("store_unavailable", "the shard is closed until it is rebuilt")
        # One that settles itself may have been captured, and only that nobody heard.
        hold = reply.hold if reply.status is Status.ENDED else None
        if reply.status is Status.MISSING and (kept := await services.ledger.hold(decided.hold)):
            hold = kept[0]
        captured = hold.captured if hold is not None else 0
    if captured and await services.catalog.org(one.org) is not None:
        body = AdjustmentBody(
            kind="refund",
            note=f"{one.decision_id} was answered store_unavailable",
            amount_micros=captured,
        )
        ourselves = _as_ourselves(names.join("undone", one.decision_id))
        await credits.adjust(services, one.org, body, ourselves, undo)
    services.hooks.on_reversed()


def _as_ourselves(key: str) -> Caller:
    return Caller(OURSELVES, "", key)


async def _charge(
    services: SpendServices, entries: list[bytes], on_event: Callable[[str], None]
) -> None:
    """Charge what was allowed without the store, each once however often this is begun."""
    for at in range(0, len(entries), AT_A_TIME):
        opened = [decode_opened(entry) for entry in entries[at : at + AT_A_TIME]]
        decided = await _decided(services, (ids.DECISION + o.id_body for o in opened))
        for one in opened:
            name = ids.DECISION + one.id_body
            try:
                await _charge_one(services, one, decided.get(name))
            except CallerError as error:
                org, amount = one.request.lineage.org, shown(one.amount_micros, "")
                on_event(f"{name} of {org} was allowed for {amount}, not charged: {error}")


async def _charge_one(
    services: SpendServices, one: StandInApproval, before: Decided | None
) -> None:
    hold_id = ids.HOLD + one.id_body
    if before is None or not before.allowed:
        # What the store denied before it stopped answering was promised after all.
        body = one.id_body if before is None else services.new_id_body(one.request.lineage.org)
        asked = await _hold(services, one, ids.DECISION + body, hold_id)
        if asked is None:
            return
    elif not before.hold:
        return
    if one.request.mode is Mode.CAPTURE:
        found = await services.store.hold(hold_id)
        if found is not None:
            use = _use(one, records.decode_asked(found[1]))
            try:
                ourselves = _as_ourselves(names.join("charge", hold_id))
                await holds.capture(services, hold_id, use, ourselves)
            except CallerError as error:
                if error.code != "hold_already_ended":
                    raise
    services.hooks.on_stand_in_charged()


def _use(one: StandInApproval, asked: RequestRecord) -> CaptureBody:
    """Usage to capture: the quantity, or the quoted amount where its price has changed."""
    quantity, price = one.request.quantity, asked.terms.price
    if quantity and price and cost_micros(price, quantity) == one.amount_micros:
        return CaptureBody(quantity=quantity)
    return CaptureBody(amount_micros=one.amount_micros)


async def _hold(
    services: SpendServices, one: StandInApproval, decision_id: str, hold_id: str
) -> RequestRecord | None:
    """Hold what was promised, or nothing where funds do not suffice: then capture owes it.

    None when it was answered again meanwhile, under its idempotency key, and so is charged. Raises
    CallerError where it is refused by now, whatever the funds.
    """
    started, idempotency = asyncio.get_running_loop().time(), one.idempotency
    amount, request = one.amount_micros, replace(one.request, mode=Mode.HOLD, settles=False)
    while True:
        profile, lineage_terms = await services.profiles.lineage(request.lineage)
        now_ms = services.clock.now_ms()
        terms = unlimited_terms(_active(profile), lineage_terms, request.product, now_ms)
        if terms.price is None:
            request = replace(request, quantity=None, amount=one.amount_micros)
        asked = plan.make(terms, request, decision_id, hold_id, amount)
        met = services.rules.policies.tallying.in_play(asked, now_ms)
        order = plan.assemble(
            terms,
            asked,
            request,
            records.encode_asked(asked, terms),
            now_ms + services.settings.store_deadline_ms,
            probe=amount > 0,
            idempotency=idempotency,
            met=met,
        )
        reply = await services.store.authorize(order)
        if reply.status is Status.CLOSED:
            raise Unavailable("store_unavailable", "the shard is closed until it is rebuilt")
        if reply.status is Status.STALE:
            await when_stale(services, request.lineage.org, reply, started)
        elif reply.status is Status.ROOM:
            amount = 0
        elif reply.status is Status.REUSED:
            # Another body came under its key since; what was promised is charged all the same.
            idempotency = None
        elif reply.outcome is not None and not reply.outcome.allowed:
            reasons = ", ".join(reason.detail for reason in asked.terms.refusals)
            raise CallerError("refused", reasons or "the request would be denied now")
        else:
            return asked if reply.status is Status.DONE else None


def _active(profile: Profile) -> Profile:
    return replace(profile, org=replace(profile.org, status="active"))
