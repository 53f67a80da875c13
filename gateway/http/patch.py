"""PATCH by a JSON merge patch (RFC 7396): a read, and a PUT on condition of what was read."""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import json
from msgspec.structs import fields, replace

from gateway.errors import CallerError, Unavailable
from gateway.http.endpoint import Answered, Call, Handler, Route
from gateway.http.services import Services
from gateway.wire.answers.base import Answer
from gateway.wire.etags import etag_of
from gateway.wire.fields import Patch
from gateway.wire.ids import Message
from gateway.wire.patch import patched

ATTEMPTS = 20
A = TypeVar("A", bound=Answer)
B = TypeVar("B", bound=Message)


def patch(
    path: str, read: Handler[None, A], put: Handler[B, A], kind: type[B], answer: type[A], what: str
) -> Route[Patch, A]:
    """Build the route that changes what a merge patch names; its members are those of `kind`."""
    handler, scopes = patching(read, put, kind), ("admin",)
    return Route("PATCH", path, scopes, handler, what, Patch, answer, patches=kind)


def patching(read: Handler[None, A], put: Handler[B, A], kind: type[B]) -> Handler[Patch, A]:
    """Build the handler that changes what a patch names, from those that read and put it.

    The PUT demands the object as it was read. Where another change came first, it starts again
    from that, unless the caller named the state to change. Raises what `read` and `put` raise.
    """
    required = [field.encode_name for field in fields(kind) if field.required]

    async def change(services: Services, call: Call[Patch]) -> Answered[A]:
        for _ in range(ATTEMPTS):
            before = (await read(services, _with(call, None, call.caller))).body
            assert isinstance(before, Answer)
            call.caller.check_condition(before)
            body = patched(call.body, before, kind, required)
            caller = replace(call.caller, if_match=etag_of(json.encode(before)), if_none_match=None)
            try:
                return await put(services, _with(call, body, caller))
            except CallerError as error:
                if error.code != "precondition_failed":
                    raise
        raise Unavailable("too_many_changes", "it is being changed by others; try again")

    return change


def _with(call: Call[Any], body: Any, caller: Any) -> Call[Any]:
    return Call(call.ids, call.query, body, caller, call.request)
