"""The aiohttp application: routes bound to a gateway, documents, and what no route takes."""

from __future__ import annotations

import re

import msgspec
from aiohttp import web

from gateway import __version__
from gateway.errors import CallerError
from gateway.flows.gateway import Gateway
from gateway.http.endpoint import JSON, MAX_BATCH_BODY, Endpoint, refusal
from gateway.http.routes import ROUTES
from gateway.http.service import Probes
from gateway.wire import openapi


def build_document() -> dict[str, object]:
    """The OpenAPI document of the route table."""
    operations = [
        openapi.Operation(
            r.method, r.path, r.summary, r.scopes, r.body, r.answer, r.query, r.statuses
        )
        for r in ROUTES
    ]
    return openapi.document(__version__, operations)


def build_app(gateway: Gateway) -> web.Application:
    """An application that serves one gateway."""
    app = web.Application(client_max_size=2 * MAX_BATCH_BODY)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, Endpoint(route, gateway).__call__)
    probes = Probes(gateway)
    app.router.add_get("/healthz", probes.healthz)
    app.router.add_get("/readyz", probes.readyz)
    app.router.add_get("/metrics", probes.metrics)
    _add_documents(app)
    app.router.add_route("*", "/{tail:.*}", _nothing_here)
    return app


def _add_documents(app: web.Application) -> None:
    document = build_document()
    encoded = msgspec.json.encode(document)
    page = openapi.page(document).encode()

    async def openapi_json(_: web.Request) -> web.Response:
        return web.Response(body=encoded, headers=JSON)

    async def docs(_: web.Request) -> web.Response:
        return web.Response(body=page, content_type="text/html", charset="utf-8")

    app.router.add_get("/openapi.json", openapi_json)
    app.router.add_get("/docs", docs)


_PATTERNS = [
    (re.compile(re.sub(r"{\w+}", "[^/]+", route.path)), route.method) for route in ROUTES
] + [(re.compile(path), "GET") for path in ("/healthz", "/readyz", "/metrics", "/docs")]


async def _nothing_here(request: web.Request) -> web.Response:
    allowed = sorted({method for path, method in _PATTERNS if path.fullmatch(request.path)})
    if allowed:
        detail = f"{request.path} takes {', '.join(allowed)}"
        error = CallerError("method_not_allowed", detail, status=405)
        return refusal(error, {"Allow": ", ".join(allowed)})
    return refusal(CallerError("not_found", f"there is nothing at {request.path}", status=404))
