"""Set orgs, their members and contracts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from zoneinfo import ZoneInfoNotFoundError

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from gateway.catalog.catalog import OrgTerms
from gateway.core.entities import (
    Contract,
    Member,
    MemberKind,
    Org,
    ProductTerms,
    RateCard,
)
from gateway.core.money import check_range
from gateway.core.names import own_book
from gateway.core.windows import zone
from gateway.errors import CallerError
from gateway.flows.accounts.bounds import check_change_of_plan, check_members
from gateway.flows.accounts.credits import funds_of
from gateway.flows.accounts.reads import not_found
from gateway.flows.accounts.services import AccountServices
from gateway.flows.shared.audited import audited
from gateway.flows.shared.caller import Caller
from gateway.flows.shared.user_ids import known_as
from gateway.flows.shared.versioned_change import Commit, change_org
from gateway.wire.answers.accounts import (
    MemberAnswer,
    contract_answer,
    key_answer,
    member_answer,
    org_answer,
)
from gateway.wire.decode import keep, kept_or_needed, milliseconds
from gateway.wire.requests.accounts import ContractBody, KeyBody, MemberBody, OrgBody, OutageBody

DEFAULT_PLAN = "payg"

Change = Callable[[OrgTerms], Awaitable[Commit | None]]
"""Checks a change to an org that exists and returns its commit, or None when nothing changes."""


async def put_org(services: AccountServices, org: str, body: OrgBody, caller: Caller) -> Org:
    """Create an org, or change of it what the body names."""
    caller.check_org(org)
    result = _org_after(body, None, org)

    async def prepare(terms: OrgTerms | None) -> Commit | None:
        nonlocal result
        before = terms.org if terms else None
        wanted = _org_after(body, before, org)
        check_range(wanted.credit_line_micros, "the credit line", "/credit_line_micros")
        _check_timezone(wanted.timezone)
        await _check_plan(services, wanted, before)
        if before is not None and before.currency != wanted.currency:
            await _check_unmoved(services, before)
        if terms is not None and terms.contract is not None:
            pinned = await services.catalog.card(terms.contract.rate_card)
            _check_currency(pinned, wanted.currency, "/currency", terms.contract.version)
        if before is not None and wanted.credit_line_micros > before.credit_line_micros:
            funds = await funds_of(services, await services.profiles.load(org))
            after = funds + wanted.credit_line_micros
            check_range(after, "funds and credit line together", "/credit_line_micros")
        created_ms = before.created_ms if before else services.clock.now_ms()
        version = before.version if before else 0
        had_keys = before is not None and before.had_keys
        result = replace(wanted, version=version, created_ms=created_ms, had_keys=had_keys)
        change = (org_answer(before) if before else None, org_answer(result))
        caller.check_condition(change[0])
        if result == before:
            return None
        if before is None or _terms_of(before) != _terms_of(result):
            caller.check_unbound("choose its own org's plan, credit line, currency or timezone")
        if before is not None and (before.status, result.status) == ("suspended", "active"):
            caller.check_unbound("end the suspension of its own org")

        async def commit(number: int) -> None:
            entry = audited(services, caller, "org", org, change, org)
            await services.catalog.put_org(replace(result, version=number), version, entry)

        return commit

    await change_org(services.catalog, services.store, org, prepare)
    return result


def _terms_of(org: Org) -> tuple[str | int, ...]:
    """Terms that the business agrees with an org: no credential of the org itself changes them.

    The timezone is one: with another one, windows and quotas begin anew.
    """
    return org.plan, org.credit_line_micros, org.currency, org.open_micros, org.timezone


def _org_after(body: OrgBody, before: Org | None, org: str) -> Org:
    """An org as it is after a PUT: what the body does not name stays as it was."""
    new = Org(org, DEFAULT_PLAN, org)
    old = before or new
    return Org(
        org,
        keep(body.plan, old.plan, new.plan),
        keep(body.name, old.name, new.name),
        keep(body.type, old.type, new.type),
        keep(body.currency, old.currency, new.currency),
        keep(body.credit_line_micros, old.credit_line_micros, new.credit_line_micros),
        keep(body.timezone, old.timezone, new.timezone),
        keep(body.status, old.status, new.status),
        open_micros=_open_micros(body.outage, old.open_micros),
        country=keep(body.country, old.country, "").upper(),
        metadata=keep(body.metadata, old.metadata, {}),
    )


def _open_micros(outage: OutageBody | UnsetType | None, before: int) -> int:
    if isinstance(outage, UnsetType):
        return before
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


async def _check_plan(services: AccountServices, org: Org, before: Org | None) -> None:
    plan = await services.catalog.plan(org.plan)
    if plan is None:
        raise CallerError("invalid_request", f"there is no plan {org.plan}", pointer="/plan")
    if before is not None and before.plan != org.plan:
        await check_change_of_plan(services, org.id, await services.catalog.plan(before.plan), plan)
    _check_currency(await services.catalog.card(plan.rate_card), org.currency, "/currency")


def _check_currency(card: RateCard, currency: str, pointer: str, version: str = "") -> None:
    for priced in card.versions:
        if (not version or priced.version == version) and priced.currency != currency:
            raise CallerError(
                "currency_mismatch",
                f"rate card {card.id}@{priced.version} is in {priced.currency}, not {currency}",
                pointer=pointer,
            )


async def _check_unmoved(services: AccountServices, org: Org) -> None:
    version, _ = await services.store.grants(org.id)
    held = await services.store.snapshot(
        org.id, ("held", "adjustments", "credit_line", "shortfall")
    )
    if version or any(held.balances) or await services.ledger.has_moved(own_book(org.id)):
        raise CallerError(
            "currency_fixed",
            f"money of {org.id} has moved in {org.currency}: its currency is fixed",
            pointer="/currency",
        )


async def change_existing(
    services: AccountServices, org: str, caller: Caller, change: Change
) -> None:
    """Make a change to an org that exists, bound to its version. Raises 404 where there is none."""
    caller.check_org(org)

    async def prepare(terms: OrgTerms | None) -> Commit | None:
        if terms is None:
            raise not_found(f"org {org}")
        return await change(terms)

    await change_org(services.catalog, services.store, org, prepare)


async def put_member(
    services: AccountServices,
    org: str,
    kind: MemberKind,
    name: str,
    body: MemberBody | KeyBody,
    caller: Caller,
) -> Member:
    """Register a project, user or key, or change of it what the body names."""
    if kind == "user":
        name = known_as(services, name)
    if isinstance(body, KeyBody) and isinstance(body.user, str):
        body = replace(body, user=known_as(services, body.user))
    result = _member_after(body, None, kind, name)

    async def change(terms: OrgTerms) -> Commit | None:
        nonlocal result
        before = await services.catalog.member(org, kind, name)
        result = _member_after(body, before, kind, name)
        shown = (presented(before) if before else None, presented(result))
        caller.check_condition(shown[0])
        if before == result:
            return None
        if before is None:
            await check_members(services, org, kind)

        async def commit(number: int) -> None:
            after = replace(terms.org, version=number)
            entry = audited(services, caller, kind, name, shown, org)
            await services.catalog.put_member(after, terms.org.version, result, entry)

        return commit

    await change_existing(services, org, caller, change)
    return result


async def delete_member(
    services: AccountServices, org: str, kind: MemberKind, name: str, caller: Caller
) -> None:
    """Delete a registered project, user or key. Raises 404 when there is none.

    A deleted key is refused from then on. A project or user without registration is not refused:
    what must not spend any more is suspended, not deleted. What was spent stays in the books.
    """
    if kind == "user":
        name = known_as(services, name)

    async def change(terms: OrgTerms) -> Commit | None:
        before = await services.catalog.member(org, kind, name)
        if before is None:
            raise not_found(f"{kind} {name}")
        shown = (presented(before), None)
        caller.check_condition(shown[0])

        async def commit(number: int) -> None:
            had_keys = terms.org.had_keys or kind == "key"
            after = replace(terms.org, version=number, had_keys=had_keys)
            entry = audited(services, caller, kind, name, shown, org)
            await services.catalog.delete_member(after, terms.org.version, before, entry)

        return commit

    await change_existing(services, org, caller, change)


def presented(member: Member) -> MemberAnswer:
    """A member as callers read it."""
    return key_answer(member) if member.kind == "key" else member_answer(member)


def _member_after(
    body: MemberBody | KeyBody, before: Member | None, kind: MemberKind, name: str
) -> Member:
    new = Member(kind, name, "active", "")
    old = before or new
    found = replace(
        new,
        status=keep(body.status, old.status, "active"),
        name=keep(body.name, old.name, ""),
        metadata=keep(body.metadata, old.metadata, {}),
    )
    if not isinstance(body, KeyBody):
        return found
    at = body.expires_at
    expires_ms = old.expires_ms if isinstance(at, UnsetType) else milliseconds(at)
    project, user = keep(body.project, old.project, None), keep(body.user, old.user, None)
    return replace(found, project=project, user=user, expires_ms=expires_ms)


async def put_contract(
    services: AccountServices, org: str, body: ContractBody, caller: Caller
) -> Contract:
    """Sign a contract, or change of it what the body names: a pinned price version, discounts."""
    caller.check_org(org)
    caller.check_unbound("sign its own org's contract")
    result: Contract | None = None

    async def change(terms: OrgTerms) -> Commit | None:
        nonlocal result
        contract = result = _contract_after(body, terms.contract)
        if contract.ends_ms is not None and contract.ends_ms <= contract.starts_ms:
            raise CallerError(
                "invalid_request", "the contract would end before it starts", pointer="/ends_at"
            )
        card = await services.catalog.card(contract.rate_card)
        if all(v.version != contract.version for v in card.versions):
            detail = f"rate card {contract.rate_card} has no version {contract.version}"
            raise CallerError("invalid_request", detail, pointer="/version")
        _check_currency(card, terms.org.currency, "/rate_card", contract.version)
        before = terms.contract
        shown = (contract_answer(before) if before else None, contract_answer(contract))
        caller.check_condition(shown[0])
        if before == contract:
            return None

        async def commit(number: int) -> None:
            after = replace(terms.org, version=number)
            entry = audited(services, caller, "contract", org, shown, org)
            await services.catalog.put_contract(after, terms.org.version, contract, entry)

        return commit

    await change_existing(services, org, caller, change)
    assert result is not None
    return result


def _contract_after(body: ContractBody, before: Contract | None) -> Contract:
    was, at = before, body.ends_at
    card = kept_or_needed(body.rate_card, was.rate_card if was else None, "/rate_card")
    version = kept_or_needed(body.version, was.version if was else None, "/version")
    starts = None if isinstance(body.starts_at, UnsetType) else milliseconds(body.starts_at)
    starts_ms = kept_or_needed(
        UNSET if starts is None else starts, was.starts_ms if was else None, "/starts_at"
    )
    old = before or Contract(card, version, starts_ms)
    products = old.products
    if not isinstance(body.products, UnsetType):
        products = {
            product: ProductTerms(p.discount_bps, p.prices, p.allowed is not False)
            for product, p in (body.products or {}).items()
        }
    return Contract(
        card,
        version,
        starts_ms,
        old.ends_ms if isinstance(at, UnsetType) else milliseconds(at),
        keep(body.discount_bps, old.discount_bps, 0),
        products,
        keep(body.metadata, old.metadata, {}),
    )
