"""Handlers of orgs, members, limits, contracts, rate cards, plans and funds."""

from __future__ import annotations

from gateway.flows.accounts import balance as balances
from gateway.flows.accounts import credits, limits, orgs, price_books
from gateway.http.endpoint import Answered, Call
from gateway.http.services import Services
from gateway.wire.answers.accounts import (
    CapAnswer,
    CardVersionAnswer,
    ContractAnswer,
    KeyAnswer,
    MemberAnswer,
    OrgAnswer,
    PlanAnswer,
    RateLimitAnswer,
    cap_answer,
    card_version_answer,
    contract_answer,
    key_answer,
    member_answer,
    org_answer,
    plan_answer,
    rate_limit_answer,
)
from gateway.wire.answers.balance import BalanceAnswer
from gateway.wire.answers.spend import AdjustmentAnswer, GrantAnswer, VoidAnswer
from gateway.wire.requests.accounts import (
    AdjustmentBody,
    CapBody,
    CardVersionBody,
    ContractBody,
    GrantBody,
    KeyBody,
    MemberBody,
    OrgBody,
    PlanBody,
    RateLimitBody,
)
from gateway.wire.requests.spend import EmptyBody


async def put_org(services: Services, call: Call[OrgBody]) -> Answered[OrgAnswer]:
    """PUT /v1/orgs/{org}."""
    org = call.ids["org"]
    return Answered(org_answer(await orgs.put_org(services, org, call.body, call.caller)))


async def put_project(services: Services, call: Call[MemberBody]) -> Answered[MemberAnswer]:
    """PUT /v1/orgs/{org}/projects/{project}."""
    org, name = call.ids["org"], call.ids["project"]
    return Answered(
        member_answer(await orgs.put_member(services, org, "project", name, call.body, call.caller))
    )


async def delete_project(services: Services, call: Call[None]) -> Answered[None]:
    """DELETE /v1/orgs/{org}/projects/{project}."""
    org, name = call.ids["org"], call.ids["project"]
    await orgs.delete_member(services, org, "project", name, call.caller)
    return Answered(None, status=204)


async def put_user(services: Services, call: Call[MemberBody]) -> Answered[MemberAnswer]:
    """PUT /v1/orgs/{org}/users/{user}."""
    org, name = call.ids["org"], call.ids["user"]
    return Answered(
        member_answer(await orgs.put_member(services, org, "user", name, call.body, call.caller))
    )


async def delete_user(services: Services, call: Call[None]) -> Answered[None]:
    """DELETE /v1/orgs/{org}/users/{user}."""
    org, name = call.ids["org"], call.ids["user"]
    await orgs.delete_member(services, org, "user", name, call.caller)
    return Answered(None, status=204)


async def put_key(services: Services, call: Call[KeyBody]) -> Answered[KeyAnswer]:
    """PUT /v1/orgs/{org}/keys/{key}."""
    org, name = call.ids["org"], call.ids["key"]
    return Answered(
        key_answer(await orgs.put_member(services, org, "key", name, call.body, call.caller))
    )


async def delete_key(services: Services, call: Call[None]) -> Answered[None]:
    """DELETE /v1/orgs/{org}/keys/{key}."""
    org, name = call.ids["org"], call.ids["key"]
    await orgs.delete_member(services, org, "key", name, call.caller)
    return Answered(None, status=204)


async def put_cap(services: Services, call: Call[CapBody]) -> Answered[CapAnswer]:
    """PUT /v1/orgs/{org}/caps/{id}."""
    org, name = call.ids["org"], call.ids["id"]
    return Answered(cap_answer(await limits.put_cap(services, org, name, call.body, call.caller)))


async def delete_cap(services: Services, call: Call[None]) -> Answered[None]:
    """DELETE /v1/orgs/{org}/caps/{id}."""
    await limits.delete_limit(services, call.ids["org"], "cap", call.ids["id"], call.caller)
    return Answered(None, status=204)


async def put_rate_limit(
    services: Services, call: Call[RateLimitBody]
) -> Answered[RateLimitAnswer]:
    """PUT /v1/orgs/{org}/rate_limits/{id}."""
    org, name = call.ids["org"], call.ids["id"]
    limit = await limits.put_rate_limit(services, org, name, call.body, call.caller)
    return Answered(rate_limit_answer(limit))


async def delete_rate_limit(services: Services, call: Call[None]) -> Answered[None]:
    """DELETE /v1/orgs/{org}/rate_limits/{id}."""
    org, name = call.ids["org"], call.ids["id"]
    await limits.delete_limit(services, org, "rate_limit", name, call.caller)
    return Answered(None, status=204)


async def put_contract(services: Services, call: Call[ContractBody]) -> Answered[ContractAnswer]:
    """PUT /v1/orgs/{org}/contract."""
    contract = await orgs.put_contract(services, call.ids["org"], call.body, call.caller)
    return Answered(contract_answer(contract))


async def put_card_version(
    services: Services, call: Call[CardVersionBody]
) -> Answered[CardVersionAnswer]:
    """PUT /v1/rate_cards/{id}/versions/{version}."""
    card, name = call.ids["id"], call.ids["version"]
    version = await price_books.put_card_version(services, card, name, call.body, call.caller)
    return Answered(card_version_answer(card, version))


async def put_plan(services: Services, call: Call[PlanBody]) -> Answered[PlanAnswer]:
    """PUT /v1/plans/{id}."""
    return Answered(
        plan_answer(await price_books.put_plan(services, call.ids["id"], call.body, call.caller))
    )


async def post_grant(services: Services, call: Call[GrantBody]) -> Answered[GrantAnswer]:
    """POST /v1/orgs/{org}/grants."""
    done = await credits.grant(services, call.ids["org"], call.body, call.caller)
    return Answered(done.answer, done.is_replay)


async def post_void(services: Services, call: Call[EmptyBody]) -> Answered[VoidAnswer]:
    """POST /v1/orgs/{org}/grants/{id}/void."""
    org, name = call.ids["org"], call.ids["id"]
    done = await credits.void(services, org, name, call.body, call.caller)
    return Answered(done.answer, done.is_replay)


async def post_adjustment(
    services: Services, call: Call[AdjustmentBody]
) -> Answered[AdjustmentAnswer]:
    """POST /v1/orgs/{org}/adjustments."""
    done = await credits.adjust(services, call.ids["org"], call.body, call.caller)
    return Answered(done.answer, done.is_replay)


async def get_balance(services: Services, call: Call[None]) -> Answered[BalanceAnswer]:
    """GET /v1/orgs/{org}/balance."""
    return Answered(await balances.balance(services, call.ids["org"], call.caller))
