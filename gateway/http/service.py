"""Handlers of credentials, health and metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from msgspec import json

from gateway.errors import SpendgateError, Unavailable
from gateway.flows.accounts import credentials
from gateway.http.endpoint import JSON, Answered, Call, refusal
from gateway.http.services import Services
from gateway.observe import metrics
from gateway.wire.answers.credentials import CredentialAnswer, CredentialsAnswer, CredentialShown
from gateway.wire.requests.accounts import CredentialBody, RotateBody


async def post_credential(
    services: Services, call: Call[CredentialBody]
) -> Answered[CredentialAnswer]:
    """POST /v1/credentials."""
    made = await credentials.create(services, call.body, call.caller, call.bearer)
    return Answered(CredentialAnswer(id=made.id, secret=made.secret), made.is_replay)


async def rotate_credential(
    services: Services, call: Call[RotateBody]
) -> Answered[CredentialAnswer]:
    """POST /v1/credentials/{id}/rotate."""
    made = await credentials.rotate(services, call.ids["id"], call.body, call.caller, call.bearer)
    return Answered(CredentialAnswer(id=made.id, secret=made.secret), made.is_replay)


async def get_credentials(services: Services, call: Call[None]) -> Answered[CredentialsAnswer]:
    """GET /v1/credentials."""
    found = await credentials.listed(services, call.caller)
    return Answered(CredentialsAnswer(credentials=found, data=found))


async def get_credential(services: Services, call: Call[None]) -> Answered[CredentialShown]:
    """GET /v1/credentials/{id}."""
    return Answered(await credentials.find(services, call.ids["id"], call.caller))


async def delete_credential(services: Services, call: Call[None]) -> Answered[None]:
    """DELETE /v1/credentials/{id}."""
    await credentials.remove(services, call.ids["id"], call.caller)
    return Answered(None, status=204)


async def _answers(ping: Callable[[], Awaitable[None]]) -> bool:
    try:
        await ping()
    except Exception:
        return False
    return True


class Probes:
    """Health, readiness and metrics; no credential is needed."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def healthz(self, _: web.BaseRequest, __: dict[str, str]) -> web.Response:
        """The process is up; `rules` is the latest change of rules that it has taken over."""
        body = b'{"ok":true,"rules":%d}' % self._services.rules.policies.version
        return web.Response(body=body, headers=JSON)

    async def readyz(self, _: web.BaseRequest, __: dict[str, str]) -> web.Response:
        """200 while decisions can be made, naming what is missing; else 503 and why."""
        services = self._services
        try:
            if services.health.is_draining:
                raise Unavailable("draining", "the gateway is shutting down: ask another one")
            await services.store.ping()
            if services.is_backlogged:
                code = "ledger_stopped" if services.health.stopped_by else "ledger_backlog"
                raise Unavailable(code, services.backlog_detail)
        except SpendgateError as error:
            return refusal(error)
        parts = {"ledger": services.ledger.ping, "catalog": services.catalog.ping}
        missing = [name for name, ping in parts.items() if not await _answers(ping)]
        body = json.encode({"ok": True, "degraded": missing})
        return web.Response(body=body, headers=JSON)

    async def metrics(self, _: web.BaseRequest, __: dict[str, str]) -> web.Response:
        """Prometheus' text format."""
        body = metrics.exposition(self._services.settings.metrics)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4"})
