"""Set, change and remove caps and rate limits of an org."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from gateway.catalog.catalog import OrgTerms
from gateway.core.entities import (
    Cap,
    Level,
    LimitUnit,
    RateLimit,
    WindowKind,
)
from gateway.core.money import MAX_MICROS, check_range
from gateway.errors import CallerError
from gateway.flows.accounts.bounds import check_limits
from gateway.flows.accounts.orgs import change_existing
from gateway.flows.accounts.services import AccountServices
from gateway.flows.shared.audited import audited
from gateway.flows.shared.caller import Caller
from gateway.flows.shared.user_ids import with_target
from gateway.flows.shared.versioned_change import Commit
from gateway.wire.answers.accounts import CapAnswer, RateLimitAnswer, cap_answer, rate_limit_answer
from gateway.wire.decode import keep, kept_or_needed
from gateway.wire.requests.accounts import CapBody, RateLimitBody

L = TypeVar("L", Cap, RateLimit)


DEFAULT_WINDOW_S = 60


def _check_target(level: Level, target: str | None) -> None:
    if level == "org" and target is not None:
        raise CallerError(
            "invalid_request", "a limit of level org has no target", pointer="/target"
        )


async def put_cap(
    services: AccountServices, org: str, name: str, body: CapBody, caller: Caller
) -> Cap:
    """Set a cap. Changing its limit keeps its count; a new one counts from now on."""

    def after(before: Cap | None) -> Cap:
        return cap_of(name, with_target(services, body, before), before)

    return await _put_limit(services, org, "cap", name, after, caller)


def cap_of(name: str, body: CapBody, before: Cap | None = None, from_plan: bool = False) -> Cap:
    """A cap as a message describes it, and as it was where that says nothing."""
    level: Level = kept_or_needed(body.level, before.level if before else None, "/level")
    window, window_s = _window_of(body, before)
    limit_micros, units, limit = _measure_of(body, before)
    products, alert_at = body.products, body.alert_at
    was = before or Cap(name, level, window, limit_micros)
    found = Cap(
        name,
        level,
        window,
        limit_micros,
        keep(body.mode, was.mode, "hard"),
        keep(body.target, was.target if was.level == level else None, None),
        was.products if isinstance(products, UnsetType) else tuple(products or ()) or None,
        was.alert_at if isinstance(alert_at, UnsetType) else tuple(alert_at or ()),
        from_plan=from_plan,
        units=units,
        limit=limit,
        window_s=window_s,
    )
    _check_target(found.level, found.target)
    return found


def _window_of(body: CapBody, before: Cap | None) -> tuple[WindowKind | None, int]:
    """The calendar window of a cap, or None and the seconds of a rolling one."""
    window, window_s = body.window or None, body.window_s or None
    if window is not None and window_s is not None:
        raise wrong("/window_s", "give one of window and window_s")
    if window is not None:
        return window, 0
    if window_s is not None:
        return None, window_s
    # Null of the one that is not in use changes nothing.
    is_ended = before is not None and (body.window_s if before.window_s else body.window) is None
    if before is None or is_ended:
        raise wrong("/window", "a cap needs a window, or window_s for a rolling one")
    return before.window, before.window_s


def _measure_of(body: CapBody, before: Cap | None) -> tuple[int, tuple[str, ...], int]:
    """The micros of a cap of money; or no bound of it, the units it counts, and how many of them.

    No bound, and not 0: a gateway of an earlier version reads the micros alone.
    """
    micros, limit = body.limit_micros, body.limit
    units = units_of(body.units) if isinstance(body.units, list) else ()
    if isinstance(micros, int):
        if units or isinstance(limit, int):
            raise wrong("/limit_micros", "give one of limit_micros, and units with limit")
        return check_range(micros, "the cap", "/limit_micros"), (), 0
    was = before or Cap("", "org", None, 0)
    if not units and (body.units is UNSET or not was.units):
        units = was.units
    if isinstance(limit, int):
        if not units:
            raise wrong("/units", "limit counts units: name them, or give limit_micros")
        return MAX_MICROS, units, limit
    if units and was.units and limit is UNSET:
        return MAX_MICROS, units, was.limit
    if before is not None and not units and not was.units and micros is UNSET:
        return was.limit_micros, (), 0
    pointer = "/limit" if units else "/limit_micros"
    raise wrong(pointer, "a cap needs limit_micros, or units and limit")


def units_of(units: Iterable[str]) -> tuple[str, ...]:
    """Units in one order, each once: what a limit counts does not depend on how it was said."""
    return tuple(sorted(set(units)))


def wrong(pointer: str, detail: str) -> CallerError:
    """Build the error for a member of a limit."""
    return CallerError("invalid_request", detail, pointer=pointer)


async def put_rate_limit(
    services: AccountServices, org: str, name: str, body: RateLimitBody, caller: Caller
) -> RateLimit:
    """Set a rate limit."""

    def after(before: RateLimit | None) -> RateLimit:
        return rate_limit_of(name, with_target(services, body, before), before)

    return await _put_limit(services, org, "rate_limit", name, after, caller)


def rate_limit_of(
    name: str, body: RateLimitBody, before: RateLimit | None = None, from_plan: bool = False
) -> RateLimit:
    """A rate limit as a message describes it, and as it was where that says nothing."""
    old_s = before.window_s if before else DEFAULT_WINDOW_S
    level: Level = kept_or_needed(body.level, before.level if before else None, "/level")
    most = kept_or_needed(body.limit, before.limit if before else None, "/limit")
    old_target = before.target if before and before.level == level else None
    window_s = keep(body.window_s, old_s, DEFAULT_WINDOW_S)
    target = keep(body.target, old_target, None)
    _check_target(level, target)
    unit, units = body.unit or None, body.units or None
    if unit is not None and units is not None:
        raise wrong("/units", "give one of unit and units")
    kind: LimitUnit
    if units is not None:
        kind, counted = "units", units_of(units)
    elif unit is not None:
        kind, counted = unit, ()
    elif before is not None and (body.units if before.units else body.unit) is UNSET:
        kind, counted = before.unit, before.units
    else:
        raise wrong("/unit", "a rate limit needs unit or units")
    return RateLimit(name, level, kind, most, window_s, target, from_plan=from_plan, units=counted)


def presented(limit: Cap | RateLimit) -> CapAnswer | RateLimitAnswer:
    """A limit as callers read it."""
    return cap_answer(limit) if isinstance(limit, Cap) else rate_limit_answer(limit)


async def _put_limit(
    services: AccountServices,
    org: str,
    kind: str,
    name: str,
    after: Callable[[Any], L],
    caller: Caller,
) -> L:
    result: L | None = None

    async def change(terms: OrgTerms) -> Commit | None:
        nonlocal result
        before = await services.catalog.limit(org, kind, name)
        limit = result = after(before)
        shown = (presented(before) if before else None, presented(limit))
        caller.check_condition(shown[0])
        if before is not None and replace(limit, generation=before.generation) == before:
            return None
        plan = await services.catalog.plan(terms.org.plan)
        if plan is not None:
            await check_limits(services, terms, plan, limit)

        async def commit(number: int) -> None:
            # A cap that was deleted and made anew counts anew: its generation names its counters.
            generation = before.generation if before is not None else number
            of = replace(terms.org, version=number)
            set_limit = replace(limit, generation=generation)
            entry = audited(services, caller, kind, name, shown, org)
            await services.catalog.put_limit(of, terms.org.version, set_limit, entry)

        return commit

    await change_existing(services, org, caller, change)
    assert result is not None
    return result


async def delete_limit(
    services: AccountServices, org: str, kind: str, name: str, caller: Caller
) -> None:
    """Remove an org's own cap (`kind` "cap") or rate limit ("rate_limit")."""

    async def change(terms: OrgTerms) -> Commit | None:
        before = await services.catalog.limit(org, kind, name)
        if before is None:
            what = kind.replace("_", " ")
            raise CallerError("not_found", f"there is no {what} {name}")
        shown = (presented(before), None)
        caller.check_condition(shown[0])

        async def commit(number: int) -> None:
            after = replace(terms.org, version=number)
            entry = audited(services, caller, kind, name, shown, org)
            await services.catalog.delete_limit(after, terms.org.version, kind, name, entry)

        return commit

    await change_existing(services, org, caller, change)
