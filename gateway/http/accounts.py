"""Handlers of orgs, members, limits, contracts, rate cards, plans and funds."""

from __future__ import annotations

from typing import Any

from msgspec.structs import asdict

from gateway.core.entities import Cap, Contract, Member, Org, PricePlan, RateLimit
from gateway.flows.accounts import balance as balances
from gateway.flows.accounts import credits, limits, orgs, price_books
from gateway.http.endpoint import Answered, Call
from gateway.http.services import Services
from gateway.wire.answers.base import rfc3339


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


def _org(org: Org) -> dict[str, Any]:
    shown = asdict(org)
    del shown["version"]
    shown["created_at"] = rfc3339(shown.pop("created_ms"))
    shown["country"] = org.country or None
    most = shown.pop("open_micros")
    shown["outage"] = {"policy": "open" if most else "closed", "max_open_micros": most}
    return shown


def _member(member: Member) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": member.id, "name": member.name, "status": member.status}
    if member.kind == "key":
        shown |= {"project": member.project, "user": member.user}
        shown["expires_at"] = _time(member.expires_ms)
    return shown


def _limit(limit: Cap | RateLimit) -> dict[str, Any]:
    shown = asdict(limit)
    del shown["generation"], shown["from_plan"]
    return shown


def _contract(contract: Contract) -> dict[str, Any]:
    shown = asdict(contract)
    shown["starts_at"] = rfc3339(shown.pop("starts_ms"))
    shown["ends_at"] = _time(shown.pop("ends_ms"))
    return shown


def _plan(plan: PricePlan) -> dict[str, Any]:
    return {
        "id": plan.id,
        "rate_card": plan.rate_card,
        "included": [asdict(i) for i in plan.included],
        "caps": [_limit(c) for c in plan.caps],
        "rate_limits": [_limit(r) for r in plan.rate_limits],
    }


async def put_org(services: Services, call: Call) -> Answered:
    """PUT /v1/orgs/{org}."""
    org = call.ids["org"]
    return Answered(_org(await orgs.put_org(services, org, call.body, call.caller)))


async def get_org(services: Services, call: Call) -> Answered:
    """GET /v1/orgs/{org}."""
    return Answered(_org(await balances.get_org(services, call.ids["org"], call.caller)))


async def put_project(services: Services, call: Call) -> Answered:
    """PUT /v1/orgs/{org}/projects/{project}."""
    org, name = call.ids["org"], call.ids["project"]
    return Answered(
        _member(await orgs.put_member(services, org, "project", name, call.body, call.caller))
    )


async def put_user(services: Services, call: Call) -> Answered:
    """PUT /v1/orgs/{org}/users/{user}."""
    org, name = call.ids["org"], call.ids["user"]
    return Answered(
        _member(await orgs.put_member(services, org, "user", name, call.body, call.caller))
    )


async def put_key(services: Services, call: Call) -> Answered:
    """PUT /v1/orgs/{org}/keys/{key}."""
    org, name = call.ids["org"], call.ids["key"]
    return Answered(
        _member(await orgs.put_member(services, org, "key", name, call.body, call.caller))
    )


async def put_cap(services: Services, call: Call) -> Answered:
    """PUT /v1/orgs/{org}/caps/{id}."""
    org, name = call.ids["org"], call.ids["id"]
    return Answered(_limit(await limits.put_cap(services, org, name, call.body, call.caller)))


async def delete_cap(services: Services, call: Call) -> Answered:
    """DELETE /v1/orgs/{org}/caps/{id}."""
    await limits.delete_limit(services, call.ids["org"], "cap", call.ids["id"], call.caller)
    return Answered(None, status=204)


async def put_rate_limit(services: Services, call: Call) -> Answered:
    """PUT /v1/orgs/{org}/rate_limits/{id}."""
    org, name = call.ids["org"], call.ids["id"]
    limit = await limits.put_rate_limit(services, org, name, call.body, call.caller)
    return Answered(_limit(limit))


async def delete_rate_limit(services: Services, call: Call) -> Answered:
    """DELETE /v1/orgs/{org}/rate_limits/{id}."""
    org, name = call.ids["org"], call.ids["id"]
    await limits.delete_limit(services, org, "rate_limit", name, call.caller)
    return Answered(None, status=204)


async def put_contract(services: Services, call: Call) -> Answered:
    """PUT /v1/orgs/{org}/contract."""
    contract = await orgs.put_contract(services, call.ids["org"], call.body, call.caller)
    return Answered(_contract(contract))


async def put_card_version(services: Services, call: Call) -> Answered:
    """PUT /v1/rate_cards/{id}/versions/{version}."""
    card, name = call.ids["id"], call.ids["version"]
    version = await price_books.put_card_version(services, card, name, call.body, call.caller)
    shown = asdict(version)
    shown["effective_at"] = rfc3339(shown.pop("effective_ms"))
    return Answered({"rate_card": card, **shown})


async def put_plan(services: Services, call: Call) -> Answered:
    """PUT /v1/plans/{id}."""
    return Answered(
        _plan(await price_books.put_plan(services, call.ids["id"], call.body, call.caller))
    )


async def post_grant(services: Services, call: Call) -> Answered:
    """POST /v1/orgs/{org}/grants."""
    done = await credits.grant(services, call.ids["org"], call.body, call.caller)
    return Answered(done.answer, done.is_replay)


async def post_void(services: Services, call: Call) -> Answered:
    """POST /v1/orgs/{org}/grants/{id}/void."""
    org, name = call.ids["org"], call.ids["id"]
    done = await credits.void(services, org, name, call.body, call.caller)
    return Answered(done.answer, done.is_replay)


async def post_adjustment(services: Services, call: Call) -> Answered:
    """POST /v1/orgs/{org}/adjustments."""
    done = await credits.adjust(services, call.ids["org"], call.body, call.caller)
    return Answered(done.answer, done.is_replay)


async def get_balance(services: Services, call: Call) -> Answered:
    """GET /v1/orgs/{org}/balance."""
    return Answered(await balances.balance(services, call.ids["org"], call.caller))
