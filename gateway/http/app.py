"""Route requests to endpoints. Plain paths are one look-up, without a framework."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from gateway import __version__
from gateway.errors import CallerError
from gateway.http import docs_page
from gateway.http.endpoint import JSON, Endpoint, refusal
from gateway.http.peer import REQUEST_ID, id_of
from gateway.http.response import JsonResponse
from gateway.http.routes import ROUTES
from gateway.http.service import Probes
from gateway.http.services import Services
from gateway.wire import openapi

Respond = Callable[[web.BaseRequest, dict[str, str]], Awaitable[web.Response]]


def build_document() -> dict[str, Any]:
    """The OpenAPI document of the route table."""
    tagged = {route.path for route in ROUTES if route.has_etag}
    operations = [
        openapi.Operation(
            *(r.method, r.path, r.summary, r.scopes, r.body, r.answer, r.query, r.statuses),
            patches=r.patches,
            order=r.order,
            bound_scopes=r.bound_scopes,
            by_metadata=r.by_metadata,
            has_etag=r.has_etag,
            is_conditional=r.method in ("PUT", "PATCH", "DELETE") and r.path in tagged,
        )
        for r in ROUTES
    ]
    return openapi.document(__version__, operations)


class App:
    """The handler of every request of a worker."""

    def __init__(self, services: Services) -> None:
        probes = Probes(services)
        self._plain: dict[str, dict[str, Respond]] = {
            "/healthz": {"GET": probes.healthz},
            "/readyz": {"GET": probes.readyz},
            "/metrics": {"GET": probes.metrics},
            "/": {"GET": _to_docs},
            **_documents(),
        }
        shaped: dict[str, dict[str, Respond]] = {}
        for route in ROUTES:
            into = shaped if "{" in route.path else self._plain
            into.setdefault(route.path, {})[route.method] = Endpoint(route, services)
        self._shaped = [(_pattern(path), methods) for path, methods in shaped.items()]

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """Answer a request; each answer says what the request is called in the log."""
        response = await self._answer(request)
        if type(response) is not JsonResponse:
            response.headers[REQUEST_ID] = id_of(request)
        return response

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        names: dict[str, str] = {}
        methods = self._plain.get(request.raw_path)
        if methods is None:
            # Matched before it is decoded: a slash in an id is no slash of the path.
            path = request.rel_url.raw_path
            methods = self._plain.get(path)
            if methods is None:
                methods, names = self._find(path)
        respond = methods.get(request.method)
        if respond is not None:
            return await respond(request, names)
        if methods:
            allowed = ", ".join(sorted(methods))
            detail = f"{request.path} takes {allowed}"
            error = CallerError("method_not_allowed", detail)
            return refusal(error, {"Allow": allowed})
        return refusal(CallerError("not_found", f"there is nothing at {request.path}"))

    def _find(self, path: str) -> tuple[dict[str, Respond], dict[str, str]]:
        for pattern, methods in self._shaped:
            found = pattern.fullmatch(path)
            if found is not None:
                return methods, found.groupdict()
        return {}, {}


def _pattern(path: str) -> re.Pattern[str]:
    # What stands on a list may have slashes: networks do.
    whole = path.replace("{value}", "(?P<value>.+)")
    return re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", whole))


async def _to_docs(_: web.BaseRequest, __: dict[str, str]) -> web.Response:
    return web.Response(status=303, headers={"Location": "/docs"})


def _documents() -> dict[str, dict[str, Respond]]:
    document = build_document()
    encoded = msgspec.json.encode(document)
    page = docs_page.page(document).encode()

    async def openapi_json(_: web.BaseRequest, __: dict[str, str]) -> web.Response:
        return web.Response(body=encoded, headers=JSON)

    async def docs(_: web.BaseRequest, __: dict[str, str]) -> web.Response:
        return web.Response(body=page, content_type="text/html", charset="utf-8")

    return {"/openapi.json": {"GET": openapi_json}, "/docs": {"GET": docs}}
