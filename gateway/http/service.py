"""Handlers of credentials, health, metrics and documents."""

from __future__ import annotations

from aiohttp import web

from gateway.errors import SpendgateError, Unavailable
from gateway.flows import access
from gateway.flows.gateway import Gateway
from gateway.http.endpoint import JSON, Answered, Call, refusal
from gateway.observe import metrics


async def post_credential(gateway: Gateway, call: Call) -> Answered:
    """POST /v1/credentials."""
    made = await access.create(gateway, call.body, call.caller)
    return Answered({"id": made.id, "secret": made.secret}, made.is_replay)


async def get_credentials(gateway: Gateway, call: Call) -> Answered:
    """GET /v1/credentials."""
    return Answered({"credentials": await access.listed(gateway, call.caller)})


async def delete_credential(gateway: Gateway, call: Call) -> Answered:
    """DELETE /v1/credentials/{id}."""
    await access.remove(gateway, call.ids["id"], call.caller)
    return Answered(None, status=204)


class Probes:
    """Health, readiness, metrics: for whoever watches, without credentials."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def healthz(self, _: web.BaseRequest, __: dict[str, str]) -> web.Response:
        """The process is up."""
        return web.Response(body=b'{"ok":true}', headers=JSON)

    async def readyz(self, _: web.BaseRequest, __: dict[str, str]) -> web.Response:
        """Store, ledger and catalog answer; 503 names the first that does not."""
        try:
            await self._gateway.store.ping()
            await self._gateway.ledger.ping()
            await self._gateway.catalog.ping()
            self._check_ledger()
        except SpendgateError as error:
            return refusal(error)
        return web.Response(body=b'{"ok":true}', headers=JSON)

    def _check_ledger(self) -> None:
        """Raise Unavailable when the ledger's writer has stopped, or is too far behind."""
        if metrics.gauge(self._gateway.settings.metrics, metrics.LEDGER_STOPPED):
            detail = "the ledger's writer has stopped at a gap; `spendgate doctor` tells more"
            raise Unavailable("ledger_stopped", detail)
        if self._gateway.is_backlogged:
            detail = f"{self._gateway.health.backlog} records wait for the ledger"
            raise Unavailable("ledger_backlog", detail)

    async def metrics(self, _: web.BaseRequest, __: dict[str, str]) -> web.Response:
        """Prometheus' text format."""
        body = metrics.exposition(self._gateway.settings.metrics)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4"})
