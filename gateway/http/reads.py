"""Handlers that read and list what admins set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, get_args

from gateway.core.entities import Cap, OrgType, RateLimit, Status
from gateway.flows.accounts import grants, reads
from gateway.flows.accounts.reads import Page, Wanted
from gateway.flows.shared.user_ids import known_as
from gateway.http.endpoint import METADATA, Answered, Call
from gateway.http.query import after_in, cursor_of, one_of, page_limit_in
from gateway.http.services import Services
from gateway.wire.answers.accounts import (
    CapAnswer,
    CardVersionAnswer,
    ContractAnswer,
    GrantShown,
    KeyAnswer,
    MemberAnswer,
    OrgAnswer,
    PlanAnswer,
    RateCardAnswer,
    RateLimitAnswer,
    cap_answer,
    card_version_answer,
    contract_answer,
    grant_shown,
    key_answer,
    member_answer,
    org_answer,
    plan_answer,
    rate_card_answer,
    rate_limit_answer,
)
from gateway.wire.answers.base import Answer, PageAnswer

T = TypeVar("T")
A = TypeVar("A", bound=Answer)
Read = Call[None]


def _wanted(call: Read, **takes: Sequence[str]) -> Wanted:
    """The page that a query asks for; `takes` are the values of filters that take some alone."""
    query = dict(call.query)
    for name, values in takes.items():
        one_of(query, name, values)
    after, limit = after_in(query.pop("cursor", None)), page_limit_in(query.pop("limit", None))
    by = {
        name.removeprefix(METADATA): query.pop(name)
        for name in [*query]
        if name.startswith(METADATA)
    }
    return Wanted(after, limit, tuple(query.items()), tuple(by.items()))


def _listed(page: Page[T], answer: Callable[[T], A]) -> Answered[PageAnswer[A]]:
    cursor = None if page.next_after is None else cursor_of(page.next_after)
    return Answered(PageAnswer(data=[answer(one) for one in page.items], next_cursor=cursor))


async def get_org(services: Services, call: Read) -> Answered[OrgAnswer]:
    """GET /v1/orgs/{org}."""
    found = await reads.org_terms(services, call.ids["org"], call.caller)
    return Answered(org_answer(found.org))


async def get_orgs(services: Services, call: Read) -> Answered[PageAnswer[OrgAnswer]]:
    """GET /v1/orgs."""
    wanted = _wanted(call, status=get_args(Status), type=get_args(OrgType))
    return _listed(await reads.orgs(services, wanted, call.caller), org_answer)


async def get_projects(services: Services, call: Read) -> Answered[PageAnswer[MemberAnswer]]:
    """GET /v1/orgs/{org}/projects."""
    org = call.ids["org"]
    found = await reads.members(
        services, org, "project", _wanted(call, status=get_args(Status)), call.caller
    )
    return _listed(found, member_answer)


async def get_users(services: Services, call: Read) -> Answered[PageAnswer[MemberAnswer]]:
    """GET /v1/orgs/{org}/users."""
    org = call.ids["org"]
    found = await reads.members(
        services, org, "user", _wanted(call, status=get_args(Status)), call.caller
    )
    return _listed(found, member_answer)


async def get_keys(services: Services, call: Read) -> Answered[PageAnswer[KeyAnswer]]:
    """GET /v1/orgs/{org}/keys."""
    org = call.ids["org"]
    found = await reads.members(
        services, org, "key", _wanted(call, status=("active", "disabled")), call.caller
    )
    return _listed(found, key_answer)


async def get_project(services: Services, call: Read) -> Answered[MemberAnswer]:
    """GET /v1/orgs/{org}/projects/{project}."""
    org, name = call.ids["org"], call.ids["project"]
    found = await reads.member(services, org, "project", name, call.caller)
    return Answered(member_answer(found))


async def get_user(services: Services, call: Read) -> Answered[MemberAnswer]:
    """GET /v1/orgs/{org}/users/{user}."""
    org, name = call.ids["org"], known_as(services, call.ids["user"])
    found = await reads.member(services, org, "user", name, call.caller)
    return Answered(member_answer(found))


async def get_key(services: Services, call: Read) -> Answered[KeyAnswer]:
    """GET /v1/orgs/{org}/keys/{key}."""
    org, name = call.ids["org"], call.ids["key"]
    return Answered(key_answer(await reads.member(services, org, "key", name, call.caller)))


async def get_caps(services: Services, call: Read) -> Answered[PageAnswer[CapAnswer]]:
    """GET /v1/orgs/{org}/caps."""
    found = await reads.limits(services, Cap, call.ids["org"], _wanted(call), call.caller)
    return _listed(found, cap_answer)


async def get_cap(services: Services, call: Read) -> Answered[CapAnswer]:
    """GET /v1/orgs/{org}/caps/{id}."""
    org, name = call.ids["org"], call.ids["id"]
    return Answered(cap_answer(await reads.limit(services, Cap, org, name, call.caller)))


async def get_rate_limits(services: Services, call: Read) -> Answered[PageAnswer[RateLimitAnswer]]:
    """GET /v1/orgs/{org}/rate_limits."""
    found = await reads.limits(services, RateLimit, call.ids["org"], _wanted(call), call.caller)
    return _listed(found, rate_limit_answer)


async def get_rate_limit(services: Services, call: Read) -> Answered[RateLimitAnswer]:
    """GET /v1/orgs/{org}/rate_limits/{id}."""
    org, name = call.ids["org"], call.ids["id"]
    return Answered(
        rate_limit_answer(await reads.limit(services, RateLimit, org, name, call.caller))
    )


async def get_grants(services: Services, call: Read) -> Answered[PageAnswer[GrantShown]]:
    """GET /v1/orgs/{org}/grants."""
    found = await grants.grants(
        services, call.ids["org"], _wanted(call, status=grants.STATUSES), call.caller
    )
    return _listed(found, _grant)


async def get_grant(services: Services, call: Read) -> Answered[GrantShown]:
    """GET /v1/orgs/{org}/grants/{id}."""
    org, name = call.ids["org"], call.ids["id"]
    return Answered(_grant(await grants.grant(services, org, name, call.caller)))


def _grant(found: grants.GrantState) -> GrantShown:
    return grant_shown(found.grant, found.remaining, found.status)


async def get_contract(services: Services, call: Read) -> Answered[ContractAnswer]:
    """GET /v1/orgs/{org}/contract."""
    found = await reads.contract(services, call.ids["org"], call.caller)
    return Answered(contract_answer(found))


async def get_plans(services: Services, call: Read) -> Answered[PageAnswer[PlanAnswer]]:
    """GET /v1/plans."""
    return _listed(await reads.plans(services, _wanted(call)), plan_answer)


async def get_plan(services: Services, call: Read) -> Answered[PlanAnswer]:
    """GET /v1/plans/{id}."""
    return Answered(plan_answer(await reads.plan(services, call.ids["id"])))


async def get_cards(services: Services, call: Read) -> Answered[PageAnswer[RateCardAnswer]]:
    """GET /v1/rate_cards."""
    return _listed(await reads.cards(services, _wanted(call)), rate_card_answer)


async def get_card(services: Services, call: Read) -> Answered[RateCardAnswer]:
    """GET /v1/rate_cards/{id}."""
    return Answered(rate_card_answer(await reads.card(services, call.ids["id"])))


async def get_card_versions(
    services: Services, call: Read
) -> Answered[PageAnswer[CardVersionAnswer]]:
    """GET /v1/rate_cards/{id}/versions."""
    card = call.ids["id"]
    found = await reads.card_versions(services, card, _wanted(call))
    return _listed(found, lambda version: card_version_answer(card, version))


async def get_card_version(services: Services, call: Read) -> Answered[CardVersionAnswer]:
    """GET /v1/rate_cards/{id}/versions/{version}."""
    card, name = call.ids["id"], call.ids["version"]
    return Answered(card_version_answer(card, await reads.card_version(services, card, name)))
