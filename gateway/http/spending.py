"""Handlers of authorize and holds."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.core.holds import HoldStatus
from gateway.flows.shared.caller import Caller
from gateway.flows.spend import authorize as authorizing
from gateway.flows.spend import hold_list, holds
from gateway.http.endpoint import Answered, Call, fault_of
from gateway.http.query import one_of, org_in, page_limit_in, row_in
from gateway.http.services import Services
from gateway.store.admission import IS_PATIENT
from gateway.wire import problems
from gateway.wire.answers.base import PageAnswer
from gateway.wire.answers.spend import (
    AuthorizeAnswer,
    BatchAnswer,
    EndAnswer,
    HoldAnswer,
    hold_answer,
)
from gateway.wire.decode import convert
from gateway.wire.requests.spend import (
    AuthorizeBody,
    BatchBody,
    BatchItem,
    CaptureBody,
    EmptyBody,
    ExtendBody,
)

AT_ONCE = 8
"""Items of a batch that are asked at the same time. Each waits for its org's turn, however long the
batch is: a batch delays its own org alone."""


async def authorize(services: Services, call: Call[AuthorizeBody]) -> Answered[AuthorizeAnswer]:
    """POST /v1/authorize."""
    done = await authorizing.authorize(services, call.body, call.caller)
    return Answered(done.answer, done.is_replay)


async def authorize_batch(services: Services, call: Call[BatchBody]) -> Answered[BatchAnswer]:
    """POST /v1/authorize/batch."""
    await authorizing.check_batch(services, call.body, call.caller)
    places = asyncio.Semaphore(AT_ONCE)

    async def one(index: int, item: object) -> tuple[Any, bool]:
        IS_PATIENT.set(True)
        async with places:
            return await _item(services, item, _caller_of_item(call.caller, index))

    items = (one(index, item) for index, item in enumerate(call.body.requests))
    done = await asyncio.gather(*items)
    is_replay = bool(done) and all(was_replay for _, was_replay in done)
    return Answered(BatchAnswer(results=[answer for answer, _ in done]), is_replay)


def _caller_of_item(caller: Caller, index: int) -> Caller:
    # An item without a key of its own is told apart by its place under the batch's key.
    key = f"{caller.idempotency_key}\n{index}" if caller.idempotency_key else ""
    return Caller(caller.credential, caller.path.removesuffix("/batch"), key)


async def _item(services: Services, raw: object, caller: Caller) -> tuple[Any, bool]:
    # Each item stands alone: one that is wrong is a problem in its place.
    try:
        item = convert(raw, BatchItem)
        body = AuthorizeBody(**{name: getattr(item, name) for name in _FIELDS})
        key = item.idempotency_key or caller.idempotency_key
        whose = Caller(caller.credential, caller.path, key)
        done = await authorizing.authorize(services, body, whose)
    except Exception as error:
        return problems.problem(fault_of(error, "an item of a batch")), False
    return done.answer, done.is_replay


_FIELDS = AuthorizeBody.__struct_fields__


async def get_hold(services: Services, call: Call[None]) -> Answered[HoldAnswer]:
    """GET /v1/holds/{id}."""
    return Answered(await holds.get(services, call.ids["id"], call.caller))


async def capture(services: Services, call: Call[CaptureBody]) -> Answered[EndAnswer]:
    """POST /v1/holds/{id}/capture."""
    done = await holds.capture(services, call.ids["id"], call.body, call.caller)
    return Answered(done.answer, done.is_replay)


async def extend(services: Services, call: Call[ExtendBody]) -> Answered[AuthorizeAnswer]:
    """POST /v1/holds/{id}/extend."""
    done = await holds.extend(services, call.ids["id"], call.body, call.caller)
    return Answered(done.answer, done.is_replay)


async def release(services: Services, call: Call[EmptyBody]) -> Answered[EndAnswer]:
    """POST /v1/holds/{id}/release."""
    done = await holds.release(services, call.ids["id"], call.body, call.caller)
    return Answered(done.answer, done.is_replay)


async def get_holds(services: Services, call: Call[None]) -> Answered[PageAnswer[HoldAnswer]]:
    """GET /v1/holds."""
    query, statuses = call.query, [status.name for status in HoldStatus]
    wanted = hold_list.WantedHolds(
        org_in(query.get("org")),
        one_of(query, "status", statuses),
        page_limit_in(query.get("limit")),
        row_in(query.get("cursor")),
    )
    found, before = await hold_list.page(services, wanted, call.caller)
    now_ms = services.clock.now_ms()
    shown = [hold_answer(one.id, one.hold, one.asked, now_ms) for one in found]
    return Answered(PageAnswer(data=shown, next_cursor=None if before is None else str(before)))
