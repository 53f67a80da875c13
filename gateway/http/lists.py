"""Handlers of lists and events."""

from __future__ import annotations

from gateway.catalog.lists import Item
from gateway.errors import CallerError
from gateway.flows.risk import events, lists
from gateway.http.endpoint import Answered, Call
from gateway.http.query import org_in, page_limit_in, row_in
from gateway.http.services import Services
from gateway.wire.answers.base import PageAnswer, rfc3339
from gateway.wire.answers.lists import EventAnswer, EventShown, ItemAnswer, ItemsAnswer, ListCount
from gateway.wire.requests.risk import EventBody, ItemBody, ItemsBody


async def put_item(services: Services, call: Call[ItemBody]) -> Answered[ItemAnswer]:
    """PUT /v1/lists/{name}/items/{value}."""
    name, value, body = call.ids["name"], call.ids["value"], call.body
    return Answered(_answer(await lists.put_one(services, name, value, body, call.caller), value))


async def post_items(services: Services, call: Call[ItemsBody]) -> Answered[ItemsAnswer]:
    """POST /v1/lists/{name}/items."""
    name, caller = call.ids["name"], call.caller
    made: list[Item] = []
    for place, one in enumerate(call.body.items):
        try:
            said = (one.value, one.expires_at, one.note or "")
            made += lists.items(services, name, *said, caller)
        except CallerError as error:
            error.pointer = f"/items/{place}{error.pointer or '/value'}"
            raise
    await lists.put(services, name, made, caller)
    return Answered(ItemsAnswer(list=name, items=len(call.body.items)))


async def get_item(services: Services, call: Call[None]) -> Answered[ItemAnswer]:
    """GET /v1/lists/{name}/items/{value}."""
    value = call.ids["value"]
    return Answered(
        _answer(await lists.find(services, call.ids["name"], value, call.caller), value)
    )


async def delete_item(services: Services, call: Call[None]) -> Answered[None]:
    """DELETE /v1/lists/{name}/items/{value}."""
    await lists.remove(services, call.ids["name"], call.ids["value"], call.caller)
    return Answered(None, status=204)


async def post_event(services: Services, call: Call[EventBody]) -> Answered[EventAnswer]:
    """POST /v1/events."""
    told = await events.record(services, call.body, call.caller)
    answer = EventAnswer(
        id=told.moved.id,
        type=told.moved.kind,
        at=rfc3339(told.at_ms),
        recorded_at=rfc3339(told.moved.now_ms),
    )
    return Answered(answer, told.is_replay)


async def get_events(services: Services, call: Call[None]) -> Answered[PageAnswer[EventShown]]:
    """GET /v1/events."""
    query, limit = call.query, page_limit_in(call.query.get("limit"))
    org = org_in(query.get("org")) or call.caller.credential.org
    if not org:
        raise CallerError("invalid_request", "name the org whose events to list", parameter="org")
    found = await events.page(services, org, row_in(query.get("cursor")), limit, call.caller)
    cursor = str(found[-1].row) if len(found) == limit else None
    return Answered(PageAnswer(data=[_event(one) for one in found], next_cursor=cursor))


def _event(one: events.Logged) -> EventShown:
    happened = one.happened
    named = {"project": happened.project, "user": happened.user, "key": happened.key}
    return EventShown(
        id=one.moved.id,
        type=happened.type,
        subject={"org": one.moved.org} | {name: of for name, of in named.items() if of},
        amount_micros=happened.amount,
        context=happened.context,
        credential=happened.caller,
        at=rfc3339(happened.at_ms),
        recorded_at=rfc3339(one.moved.now_ms),
    )


async def get_lists(services: Services, call: Call[None]) -> Answered[PageAnswer[ListCount]]:
    """GET /v1/lists."""
    found = await lists.counts(services, call.caller)
    shown = [ListCount(list=name, items=count) for name, count in found.items()]
    return Answered(PageAnswer(data=shown, next_cursor=None))


def _answer(item: Item, value: str) -> ItemAnswer:
    return ItemAnswer(
        list=item.list,
        value=value,
        expires_at=rfc3339(item.expires_ms) if item.expires_ms else None,
        note=item.note,
        author=item.author,
        updated_at=rfc3339(item.at_ms),
    )
