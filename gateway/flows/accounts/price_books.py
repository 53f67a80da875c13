"""Set rate-card versions and plans, which all orgs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec import UnsetType
from msgspec.structs import replace

from gateway.core.audit import AuditEntry
from gateway.core.entities import Cap, CardVersion, Included, PricePlan, RateCard, RateLimit
from gateway.core.money import check_range
from gateway.errors import CallerError
from gateway.flows.accounts.bounds import check_plan
from gateway.flows.accounts.limits import cap_of, rate_limit_of
from gateway.flows.accounts.services import AccountServices
from gateway.flows.shared.audited import audited
from gateway.flows.shared.caller import Caller
from gateway.flows.shared.user_ids import with_target
from gateway.flows.shared.versioned_change import Commit, change_card, change_plan
from gateway.wire.answers.accounts import card_version_answer, plan_answer
from gateway.wire.decode import kept_or_needed, milliseconds
from gateway.wire.requests.accounts import CardVersionBody, PlanBody, PlanCap, PlanRateLimit

B = TypeVar("B", PlanCap, PlanRateLimit)
L = TypeVar("L", Cap, RateLimit)


async def put_card_version(
    services: AccountServices, card: str, version: str, body: CardVersionBody, caller: Caller
) -> CardVersion:
    """Add a version to a rate card. The same again is fine; another body is a conflict."""
    caller.check_unbound("change what all share")
    for product, prices in body.products.items():
        for unit, price in prices.items():
            check_range(price, f"the price of {product}", f"/products/{product}/{unit}")
    wanted = CardVersion(
        version, milliseconds(body.effective_at) or 0, body.currency, body.products
    )

    def prepare(before: RateCard) -> Commit | None:
        for known in before.versions:
            if known.version == version:
                caller.check_condition(card_version_answer(card, known))
                if known == wanted:
                    return None
                raise CallerError("version_exists", f"{card}@{version} exists and never changes")
            if known.currency != wanted.currency:
                raise CallerError(
                    "currency_mismatch",
                    f"rate card {card} is in {known.currency}, not {wanted.currency}",
                    pointer="/currency",
                )

        caller.check_condition(None)
        shown = (None, card_version_answer(card, wanted))
        entry = audited(services, caller, "rate_card_version", f"{card}@{version}", shown)

        async def commit(number: int) -> None:
            await services.catalog.put_card_version(card, wanted, before.changes, number, entry)

        return commit

    await change_card(services.catalog, services.store, card, prepare)
    return wanted


async def put_plan(
    services: AccountServices, plan: str, body: PlanBody, caller: Caller
) -> PricePlan:
    """Create a plan, or change of it what the body names; it binds the next request of its orgs."""
    caller.check_unbound("change what all share")
    for i, quota in enumerate(body.included or ()):
        check_range(quota.amount_micros, "the quota", f"/included/{i}/amount_micros")
    for name in ("included", "caps", "rate_limits"):
        named = [part.id for part in getattr(body, name) or ()]
        if len(named) != len(set(named)):
            raise CallerError("invalid_request", f"two of {name} share an id", pointer=f"/{name}")

    async def prepare(before: PricePlan | None) -> tuple[PricePlan, AuditEntry]:
        card_id = kept_or_needed(body.rate_card, before.rate_card if before else None, "/rate_card")
        old = before or PricePlan(plan, card_id)
        old = replace(old, rate_card=card_id)
        wanted = _plan_after(services, body, old)
        shown = (plan_answer(before) if before else None, plan_answer(wanted))
        caller.check_condition(shown[0])
        await check_plan(services, old, wanted)
        card = await services.catalog.card(wanted.rate_card)
        for currency in {v.currency for v in card.versions}:
            if await services.catalog.has_org_on_plan(plan, currency):
                raise CallerError(
                    "currency_mismatch",
                    f"rate card {card.id} is in {currency}; an org on plan {plan} is not",
                    pointer="/rate_card",
                )
        return wanted, audited(services, caller, "plan", plan, shown)

    return await change_plan(services.catalog, services.store, plan, prepare)


def _plan_after(services: AccountServices, body: PlanBody, old: PricePlan) -> PricePlan:
    """A plan as it is after a PUT: what the body does not name stays as it was."""
    included, caps, rates = old.included, old.caps, old.rate_limits
    if not isinstance(body.included, UnsetType):
        included = tuple(
            Included(
                q.id,
                q.amount_micros,
                q.period,
                tuple(q.products) if q.products else None,
                bool(q.rollover),
            )
            for q in body.included or ()
        )
    if not isinstance(body.caps, UnsetType):
        given = [with_target(services, c) for c in body.caps or ()]
        caps = tuple(_at("caps", i, _cap_of, c) for i, c in enumerate(given))
    if not isinstance(body.rate_limits, UnsetType):
        limits = [with_target(services, r) for r in body.rate_limits or ()]
        rates = tuple(_at("rate_limits", i, _rate_limit_of, r) for i, r in enumerate(limits))
    return PricePlan(old.id, old.rate_card, included, caps, rates)


def _cap_of(body: PlanCap) -> Cap:
    return cap_of(body.id, body, from_plan=True)


def _rate_limit_of(body: PlanRateLimit) -> RateLimit:
    return rate_limit_of(body.id, body, from_plan=True)


def _at(part: str, place: int, make: Callable[[B], L], body: B) -> L:
    """Make one of several limits; an error points to it."""
    try:
        return make(body)
    except CallerError as error:
        error.pointer = "/" + part + "/" + str(place) + error.pointer
        raise
