"""Orgs, members, caps, rate limits and contracts: what admins set for a customer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from zoneinfo import ZoneInfoNotFoundError

from msgspec.structs import replace

from gateway.catalog.catalog import OrgTerms
from gateway.core.entities import (
    Cap,
    Contract,
    Level,
    Member,
    MemberKind,
    Org,
    ProductTerms,
    RateCard,
    RateLimit,
)
from gateway.core.money import check_range
from gateway.core.names import own_book
from gateway.core.windows import zone
from gateway.errors import CallerError
from gateway.flows.changes import Commit, change_org
from gateway.flows.funds import funds_of
from gateway.flows.gateway import Caller, Gateway
from gateway.wire.decode import milliseconds
from gateway.wire.messages import (
    CapBody,
    ContractBody,
    KeyBody,
    MemberBody,
    OrgBody,
    RateLimitBody,
)

DEFAULT_PLAN = "payg"

Change = Callable[[OrgTerms], Awaitable[Commit | None]]
"""Checks a change to an org that exists and returns its commit, or None when nothing changes."""


async def put_org(gateway: Gateway, org: str, body: OrgBody, caller: Caller) -> Org:
    """Create an org or replace what is known of it."""
    caller.check_org(org)
    check_range(body.credit_line_micros or 0, "the credit line", "/credit_line_micros")
    wanted = Org(
        org,
        body.plan or DEFAULT_PLAN,
        body.name if body.name is not None else org,
        body.type or "individual",
        body.currency or "USD",
        body.credit_line_micros or 0,
        body.timezone or "UTC",
        body.status or "active",
        open_micros=_open_micros(body),
        country=(body.country or "").upper(),
    )
    _check_timezone(wanted.timezone)
    result = wanted

    async def prepare(terms: OrgTerms | None) -> Commit | None:
        nonlocal result
        await _check_plan(gateway, wanted)
        if terms is not None and terms.org.currency != wanted.currency:
            await _check_unmoved(gateway, terms.org)
        if terms is not None and terms.contract is not None:
            pinned = await gateway.catalog.card(terms.contract.rate_card)
            _check_currency(pinned, wanted.currency, "/currency", terms.contract.version)
        before = terms.org if terms else None
        if before is not None and wanted.credit_line_micros > before.credit_line_micros:
            funds = await funds_of(gateway, await gateway.profiles.load(org))
            after = funds + wanted.credit_line_micros
            check_range(after, "funds and credit line together", "/credit_line_micros")
        created_ms = before.created_ms if before else gateway.clock.now_ms()
        version = before.version if before else 0
        result = replace(wanted, version=version, created_ms=created_ms)
        if result == before:
            return None

        async def commit(number: int) -> None:
            await gateway.catalog.put_org(replace(result, version=number), version)

        return commit

    await change_org(gateway.catalog, gateway.store, org, prepare)
    return result


def _open_micros(body: OrgBody) -> int:
    outage = body.outage
    if outage is None or outage.policy == "closed":
        if outage is not None and outage.max_open_micros:
            detail = "a closed policy spends nothing: leave max_open_micros out"
            raise CallerError("invalid_request", detail, pointer="/outage/max_open_micros")
        return 0
    if not outage.max_open_micros:
        detail = "say how much may be spent in a minute: max_open_micros above 0"
        raise CallerError("invalid_request", detail, pointer="/outage/max_open_micros")
    return check_range(outage.max_open_micros, "the amount", "/outage/max_open_micros")


def _check_timezone(name: str) -> None:
    try:
        zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        detail = f"there is no timezone {name!r}; use an IANA name such as Asia/Shanghai"
        raise CallerError("invalid_request", detail, pointer="/timezone") from None


async def _check_plan(gateway: Gateway, org: Org) -> None:
    plan = await gateway.catalog.plan(org.plan)
    if plan is None:
        raise CallerError("invalid_request", f"there is no plan {org.plan}", pointer="/plan")
    _check_currency(await gateway.catalog.card(plan.rate_card), org.currency, "/currency")


def _check_currency(card: RateCard, currency: str, pointer: str, version: str = "") -> None:
    for priced in card.versions:
        if (not version or priced.version == version) and priced.currency != currency:
            raise CallerError(
                "currency_mismatch",
                f"rate card {card.id}@{priced.version} is in {priced.currency}, not {currency}",
                pointer=pointer,
            )


async def _check_unmoved(gateway: Gateway, org: Org) -> None:
    version, _ = await gateway.store.grants(org.id)
    held = await gateway.store.snapshot(org.id, ("held", "adjustments", "credit_line", "shortfall"))
    if version or any(held.balances) or await gateway.ledger.has_moved(own_book(org.id)):
        raise CallerError(
            "currency_fixed",
            f"money of {org.id} has moved in {org.currency}: its currency is fixed",
            pointer="/currency",
        )


async def _change_existing(gateway: Gateway, org: str, caller: Caller, change: Change) -> None:
    caller.check_org(org)

    async def prepare(terms: OrgTerms | None) -> Commit | None:
        if terms is None:
            raise CallerError("not_found", f"there is no org {org}", status=404)
        return await change(terms)

    await change_org(gateway.catalog, gateway.store, org, prepare)


async def put_member(
    gateway: Gateway,
    org: str,
    kind: MemberKind,
    name: str,
    body: MemberBody | KeyBody,
    caller: Caller,
) -> Member:
    """Register a project, user or key, or replace what is known of it."""
    member = Member(kind, name, body.status or "active", body.name or "")
    if isinstance(body, KeyBody):
        expires_ms = milliseconds(body.expires_at)
        member = replace(member, project=body.project, user=body.user, expires_ms=expires_ms)

    async def change(terms: OrgTerms) -> Commit | None:
        if await gateway.catalog.member(org, kind, name) == member:
            return None

        async def commit(number: int) -> None:
            after = replace(terms.org, version=number)
            await gateway.catalog.put_member(after, terms.org.version, member)

        return commit

    await _change_existing(gateway, org, caller, change)
    return member


def _check_target(level: Level, target: str | None) -> None:
    if level == "org" and target is not None:
        raise CallerError(
            "invalid_request", "a limit of level org has no target", pointer="/target"
        )


async def put_cap(gateway: Gateway, org: str, name: str, body: CapBody, caller: Caller) -> Cap:
    """Set a cap. Changing its limit keeps its count; a new one counts from now on."""
    _check_target(body.level, body.target)
    check_range(body.limit_micros, "the cap", "/limit_micros")
    cap = cap_of(name, body)
    await _put_limit(gateway, org, "cap", cap, caller)
    return cap


def cap_of(name: str, body: CapBody, from_plan: bool = False) -> Cap:
    """A cap as a message describes it."""
    return Cap(
        name,
        body.level,
        body.window,
        body.limit_micros,
        body.mode or "hard",
        body.target,
        tuple(body.products) if body.products else None,
        tuple(body.alert_at or ()),
        from_plan=from_plan,
    )


async def put_rate_limit(
    gateway: Gateway, org: str, name: str, body: RateLimitBody, caller: Caller
) -> RateLimit:
    """Set a rate limit."""
    _check_target(body.level, body.target)
    rate = rate_limit_of(name, body)
    await _put_limit(gateway, org, "rate_limit", rate, caller)
    return rate


def rate_limit_of(name: str, body: RateLimitBody, from_plan: bool = False) -> RateLimit:
    """A rate limit as a message describes it."""
    window_s = 60 if body.window_s is None else body.window_s
    return RateLimit(
        name, body.level, body.unit, body.limit, window_s, body.target, from_plan=from_plan
    )


async def _put_limit(
    gateway: Gateway, org: str, kind: str, limit: Cap | RateLimit, caller: Caller
) -> None:
    async def change(terms: OrgTerms) -> Commit | None:
        before = await gateway.catalog.limit(org, kind, limit.id)
        if before is not None and replace(limit, generation=before.generation) == before:
            return None

        async def commit(number: int) -> None:
            # A cap that was deleted and made anew counts anew: its generation names its counters.
            generation = before.generation if before is not None else number
            after = replace(terms.org, version=number)
            set_limit = replace(limit, generation=generation)
            await gateway.catalog.put_limit(after, terms.org.version, set_limit)

        return commit

    await _change_existing(gateway, org, caller, change)


async def delete_limit(gateway: Gateway, org: str, kind: str, name: str, caller: Caller) -> None:
    """Remove an org's own cap (`kind` "cap") or rate limit ("rate_limit")."""

    async def change(terms: OrgTerms) -> Commit | None:
        if await gateway.catalog.limit(org, kind, name) is None:
            what = kind.replace("_", " ")
            raise CallerError("not_found", f"there is no {what} {name}", status=404)

        async def commit(number: int) -> None:
            after = replace(terms.org, version=number)
            await gateway.catalog.delete_limit(after, terms.org.version, kind, name)

        return commit

    await _change_existing(gateway, org, caller, change)


async def put_contract(gateway: Gateway, org: str, body: ContractBody, caller: Caller) -> Contract:
    """Sign a contract: a pinned price version, discounts, own prices."""
    starts_ms, ends_ms = milliseconds(body.starts_at) or 0, milliseconds(body.ends_at)
    if ends_ms is not None and ends_ms <= starts_ms:
        raise CallerError(
            "invalid_request", "the contract would end before it starts", pointer="/ends_at"
        )
    products = {
        product: ProductTerms(p.discount_bps, p.prices, p.allowed is not False)
        for product, p in (body.products or {}).items()
    }
    contract = Contract(
        body.rate_card, body.version, starts_ms, ends_ms, body.discount_bps or 0, products
    )

    async def change(terms: OrgTerms) -> Commit | None:
        card = await gateway.catalog.card(body.rate_card)
        if all(v.version != body.version for v in card.versions):
            detail = f"rate card {body.rate_card} has no version {body.version}"
            raise CallerError("invalid_request", detail, pointer="/version")
        _check_currency(card, terms.org.currency, "/rate_card", body.version)
        if terms.contract == contract:
            return None

        async def commit(number: int) -> None:
            after = replace(terms.org, version=number)
            await gateway.catalog.put_contract(after, terms.org.version, contract)

        return commit

    await _change_existing(gateway, org, caller, change)
    return contract
