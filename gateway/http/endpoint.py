"""One endpoint: credentials, scope, body, flow, answer. No middleware: the way is short."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import unquote

import msgspec
from aiohttp import hdrs, web
from multidict import istr

from gateway.catalog.credentials import Credential
from gateway.catalog.secrecy import digest_of
from gateway.errors import Bug, CallerError, Overloaded, SpendgateError
from gateway.flows.shared.caller import Caller
from gateway.http.peer import id_of, networks_of, peer_of
from gateway.http.response import JsonResponse
from gateway.http.services import Services
from gateway.wire import problems
from gateway.wire.answers.accounts import TAGGED
from gateway.wire.decode import decode
from gateway.wire.etags import etag_of
from gateway.wire.ids import IdFault, check_id

JSON = {"Content-Type": "application/json", "Server": "spendgate"}
PROBLEM = {"Content-Type": "application/problem+json", "Server": "spendgate"}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MAX_BODY = 64 * 1024
MAX_BATCH_BODY = 1024 * 1024
MAX_CATALOG_BODY = 4 * 1024 * 1024
MAX_RULES_BODY = 2 * 1024 * 1024
MAX_MODEL_BODY = 20 * 1024 * 1024
MAX_KEY = 255
WORLD_IDS = ("org", "project", "user", "key")
"""Parts of paths that are ids of the caller's world; others are names that operators choose."""
METADATA = "metadata."
"""Begin of the query parameters that filter by metadata."""
IDEMPOTENCY_KEY = istr("Idempotency-Key")

B = TypeVar("B")
"""A request's body; None where there is none."""
A = TypeVar("A")
"""An answer; None where there is none."""

log = logging.getLogger("spendgate.http")
_encode = msgspec.json.Encoder().encode
_name = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


class Answered(msgspec.Struct, Generic[A], frozen=True):
    """Result of a handler: an answer or its bytes, a status, and whether it is a stored result."""

    body: A | msgspec.Raw
    is_replay: bool = False
    status: int = 200


class Call(msgspec.Struct, Generic[B], frozen=True):
    """One request on its way to a handler: checked path ids, query, body, caller."""

    ids: dict[str, str]
    query: dict[str, str]
    body: B
    caller: Caller
    request: web.BaseRequest

    @property
    def bearer(self) -> str:
        """The caller's own key, for what is sealed under it."""
        return _bearer(self.request)


Handler = Callable[[Services, Call[B]], Awaitable[Answered[A]]]


@dataclass(frozen=True)
class Route(Generic[B, A]):
    """One line of the route table. `scopes`: any of them suffices."""

    method: str
    path: str
    scopes: tuple[str, ...]
    handler: Handler[B, A]
    summary: str
    body: type[B] | None = None
    answer: type[A] | None = None
    max_body: int = MAX_BODY
    query: dict[str, str] = field(default_factory=dict)
    statuses: tuple[int, ...] = ()
    order: str = ""
    """The order of what it lists; "" where it lists nothing."""
    patches: type[Any] | None = None
    """The PUT body whose members a merge patch may name."""
    bound_scopes: tuple[str, ...] = ()
    """Scopes that suffice for a credential bound to an org, which sees that org alone."""
    by_metadata: bool = False
    """True if `?metadata.<name>=` filters what it lists."""

    @property
    def has_etag(self) -> bool:
        """True if its answer is one object that can be changed, with an entity tag."""
        kind: Any = self.answer
        return kind in TAGGED


class Endpoint:
    """A route bound to a gateway, as aiohttp calls it."""

    def __init__(self, route: Route[Any, Any], services: Services) -> None:
        self._route = route
        self._services = services
        self._scopes = frozenset(route.scopes)
        self._bound_scopes = self._scopes | frozenset(route.bound_scopes)
        self._trusted = networks_of(services.settings.trusted_proxies)
        self._has_etag = route.has_etag

    async def __call__(self, request: web.BaseRequest, names: dict[str, str]) -> web.Response:
        """Answer a request; the caller gets JSON in every case."""
        started = time.perf_counter()
        try:
            call = await self._call(request, names)
            answered = await self._route.handler(self._services, call)
            body = b"" if answered.body is None else _encode(answered.body)
            etag = etag_of(body) if self._has_etag else ""
            response: web.Response = JsonResponse(
                body, answered.status, is_replay=answered.is_replay, etag=etag
            )
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:
            where = f"{self._route.method} {self._route.path} ({id_of(request)})"
            response = refusal(fault_of(error, where))
        seconds = time.perf_counter() - started
        self._services.hooks.on_request(self._route.path, response.status, seconds)
        return response

    async def _call(self, request: web.BaseRequest, names: dict[str, str]) -> Call[Any]:
        credential = self._known(request) or await self._just_made(request)
        if credential.expires_ms or credential.networks:
            address = peer_of(request, self._trusted)
            credential.check_now(address, time.time_ns() // 1_000_000)
        ids = {name: path_id(name, raw) for name, raw in names.items()}
        body = None
        if self._route.body is not None:
            raw = await read_body(request, self._route.max_body, self._services)
            body = decode(raw, self._route.body)
        query = dict(request.query) if request.query_string else {}
        for name in query:
            if len(request.query.getall(name)) > 1:
                detail = f"the query parameter {name!r} is given twice"
                raise CallerError("invalid_request", detail, parameter=name)
            if name not in self._route.query and not (
                self._route.by_metadata and name.startswith(METADATA)
            ):
                detail = f"unknown query parameter {name!r}"
                raise CallerError("invalid_request", detail, parameter=name)
        return Call(ids, query, body, self._caller(credential, ids, request), request)

    def _caller(
        self, credential: Credential, ids: dict[str, str], request: web.BaseRequest
    ) -> Caller:
        method, path = self._route.method, self._path_of(ids)
        if method == "POST":
            return Caller(credential, path, _idempotency_key(request))
        if method in ("PUT", "PATCH", "DELETE"):
            names = (hdrs.IF_MATCH, hdrs.IF_NONE_MATCH)
            found = (request.headers.getall(name, None) for name in names)
            return Caller(credential, path, "", *(", ".join(one) if one else None for one in found))
        return Caller(credential, path)

    def _path_of(self, ids: dict[str, str]) -> str:
        """The path as it is meant, however it was spelled: what idempotency keys belong to."""
        path = self._route.path
        for name, value in ids.items():
            path = path.replace(f"{{{name}}}", value)
        return path

    def _known(self, request: web.BaseRequest) -> Credential | None:
        """Find a request's credential in this worker's memory. Raises 403 without the scope."""
        found = self._services.credentials.find(_key_digest(request))
        if found is None:
            return None
        scopes = self._bound_scopes if found.org else self._scopes
        if scopes and scopes.isdisjoint(found.scopes):
            needed = " or ".join(self._route.scopes)
            raise CallerError("forbidden", f"this needs the scope {needed}")
        return found

    async def _just_made(self, request: web.BaseRequest) -> Credential:
        """The same of a key that another worker may have made just now."""
        digest = _key_digest(request)
        if digest:
            await self._services.credentials.look_up(digest)
        found = self._known(request)
        if found is None:
            detail = "send a known key as 'Authorization: Bearer <key>'"
            raise CallerError("unauthorized", detail)
        return found


def path_id(name: str, raw: str) -> str:
    """Decode a path segment (percent-encoded UTF-8) to an id. Raises CallerError."""
    try:
        value = unquote(raw, errors="strict")
        if name == "value":
            # An item of a list: whoever takes it knows what it may be.
            return unicodedata.normalize("NFC", value)
        if name in WORLD_IDS:
            return check_id(value)
    except UnicodeDecodeError:
        detail = f"{raw[:100]!r} in the path is not percent-encoded utf-8"
        raise CallerError("invalid_request", detail) from None
    except IdFault as fault:
        raise CallerError("invalid_request", f"{name} in the path: {fault}") from None
    if not _name.fullmatch(value):
        detail = f"{value[:100]!r} is not a valid {name}: use letters, digits and _ . : -"
        raise CallerError("invalid_request", detail)
    return value


def _key_digest(request: web.BaseRequest) -> str:
    """The digest of the key a request brings, "" without one."""
    secret = _bearer(request)
    return digest_of(secret) if secret else ""


def _bearer(request: web.BaseRequest) -> str:
    kind, _, secret = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return secret.strip() if kind.lower() == "bearer" else ""


def fault_of(error: Exception, where: str) -> SpendgateError:
    """The fault that an exception is to the caller; one of ours goes to the log."""
    if isinstance(error, SpendgateError) and not isinstance(error, Bug):
        return error
    log.error("%s failed", where, exc_info=error)
    return Bug("unexpected")


def _idempotency_key(request: web.BaseRequest) -> str:
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return ""
    key = key.strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not 1 <= len(key) <= MAX_KEY:
        raise CallerError("invalid_request", f"an idempotency key has 1 to {MAX_KEY} characters")
    return key


async def read_body(request: web.BaseRequest, limit: int, services: Services) -> bytes:
    """The body, at most `limit` bytes of JSON, within the time a body may take."""
    headers, content = request.headers, request.content
    kind = headers.get(hdrs.CONTENT_TYPE, "")
    if kind != "application/json" and not _is_json(kind, request.method):
        raise CallerError("unsupported_media_type", "send application/json")
    if headers.get(hdrs.CONTENT_ENCODING):
        raise CallerError("unsupported_media_type", "send the body without a content encoding")
    try:
        if content.is_eof():
            raw: bytes = content.read_nowait()
        elif (request.content_length or 0) > limit:
            raise _too_large(limit)
        else:
            async with asyncio.timeout(services.settings.body_timeout_s):
                if headers.get(hdrs.EXPECT, "").lower() == "100-continue":
                    await request.writer.write(CONTINUE)
                raw = await _read_up_to(content, limit)
    except TimeoutError:
        raise CallerError("body_timeout", "the body took too long") from None
    except (web.RequestPayloadError, ConnectionError) as error:
        raise CallerError("malformed_json", f"the body broke off: {error}") from None
    if len(raw) > limit:
        raise _too_large(limit)
    return raw


def _is_json(kind: str, method: str) -> bool:
    named = kind.partition(";")[0].strip().lower()
    is_patch = method == "PATCH" and named == "application/merge-patch+json"
    return named == "application/json" or is_patch


async def _read_up_to(content: Any, limit: int) -> bytes:
    parts, size = [], 0
    async for part in content.iter_any():
        parts.append(part)
        size += len(part)
        if size > limit:
            raise _too_large(limit)
    return b"".join(parts)


def _too_large(limit: int) -> CallerError:
    return CallerError("body_too_large", f"a body may have {limit} bytes")


def refusal(error: SpendgateError, headers: dict[str, str] | None = None) -> web.Response:
    """A fault as a response. One that leaves its body unread ends the connection."""
    response = web.Response(
        body=problems.encode(problems.problem(error)),
        status=error.status,
        headers={**PROBLEM, **(headers or {})},
    )
    if isinstance(error, Overloaded):
        response.headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.status in (408, 413):
        response.force_close()
    return response
