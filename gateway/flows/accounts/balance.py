"""Show the balance of an org: funds, holds, and how full its caps are."""

from __future__ import annotations

from math import ceil

from msgspec.structs import replace

from gateway.core.caps import FREE_HELD, HELD, Applied, apply_cap, measured_by
from gateway.core.counters import SLIDING, used
from gateway.core.entities import Cap, Grant, Org, Profile
from gateway.core.funding import burn_order, grant_name, included_sources, waterfall
from gateway.core.limits import label_of
from gateway.core.sources import SHORTFALL
from gateway.core.windows import bounds
from gateway.flows.accounts.services import AccountServices
from gateway.flows.shared.caller import Caller
from gateway.wire import records
from gateway.wire.answers.accounts import for_whom
from gateway.wire.answers.balance import BalanceAnswer, BalanceCap, BalanceGrant, BalanceIncluded
from gateway.wire.answers.base import rfc3339

MOST_TARGETS = 100


async def balance(services: AccountServices, org: str, caller: Caller) -> BalanceAnswer:
    """Return the balance of an org; of a free user, what its plan still includes.

    What is available is the org's pool: a grant for one user is shown, and is not for all.
    """
    caller.check_org(org)
    profile = await services.profiles.load(org)
    if profile.is_free:
        profile = replace(profile, org=Org(org, profile.plan.id, currency=_currency(profile)))
    now_ms = await services.store.ping()
    sources, _, _ = waterfall(profile, None, now_ms)
    _, metas = await services.store.grants(org)
    grants = burn_order(tuple(records.decode_grant(meta) for meta, _ in metas))
    held = FREE_HELD if profile.is_free else HELD
    names = (*(s.name for s in sources), *(grant_name(g.id) for g in grants), SHORTFALL, held)
    snapshot = await services.store.snapshot(org, names)
    values = dict(zip(names, snapshot.balances, strict=True))
    available = sum(max(0, values[s.name] - s.floor) for s in sources)
    return BalanceAnswer(
        currency=profile.org.currency,
        available_micros=available,
        held_micros=values[held],
        shortfall_micros=values[SHORTFALL],
        credit_line_micros=profile.org.credit_line_micros,
        grants=[_grant(g, values) for g in grants],
        included=_included(profile, values, now_ms),
        caps=await _caps(services, profile, now_ms),
    )


def _currency(profile: Profile) -> str:
    return profile.card.versions[-1].currency if profile.card.versions else "USD"


def _grant(grant: Grant, values: dict[str, int]) -> BalanceGrant:
    return BalanceGrant(
        id=grant.id,
        kind=grant.kind,
        remaining_micros=values[grant_name(grant.id)],
        expires_at=rfc3339(grant.expires_ms) if grant.expires_ms is not None else None,
        for_=for_whom(grant),
    )


def _included(profile: Profile, values: dict[str, int], now_ms: int) -> list[BalanceIncluded]:
    found = []
    for included in profile.plan.included:
        _, ends_ms = bounds(included.period, profile.org.timezone, now_ms)
        sources = included_sources(included, profile, now_ms)
        remaining = sum(max(0, values[s.name] - s.floor) for s in sources)
        found.append(
            BalanceIncluded(id=included.id, remaining_micros=remaining, resets_at=rfc3339(ends_ms))
        )
    return found


async def _caps(services: AccountServices, profile: Profile, now_ms: int) -> list[BalanceCap]:
    org = profile.org.id
    targeted = () if profile.is_free else await services.catalog.targeted_caps(org)
    listed: list[tuple[Cap, str, Applied]] = []
    for cap in (*profile.plan.caps, *profile.caps, *targeted):
        one = apply_cap(cap, cap.target or "", profile, now_ms)
        targets = [cap.target or ""]
        if one.index:
            targets = await services.store.targets(org, one.index)
        for target in targets:
            listed.append((cap, target, apply_cap(cap, target, profile, now_ms)))
    counters = tuple(a.counter(measured_by([a])) for _, _, a in listed)
    counts = await services.store.counters(org, counters, now_ms)
    rows = [
        _cap(cap, target, applied, pair, now_ms)
        for (cap, target, applied), pair in zip(listed, counts, strict=True)
    ]
    shown: list[BalanceCap] = []
    for cap_key in dict.fromkeys((c.from_plan, c.id) for c, _, _ in listed):
        own = [
            r for (c, _, _), r in zip(listed, rows, strict=True) if (c.from_plan, c.id) == cap_key
        ]
        own.sort(key=lambda r: (-(r.used + r.held), r.target or ""))
        shown += own[:MOST_TARGETS]
    return shown


def _cap(
    cap: Cap, target: str, applied: Applied, counts: tuple[int, int], now_ms: int
) -> BalanceCap:
    row, period_ms = applied.row, applied.period_ms
    first, second = counts
    used_now, held, resets_ms = first, second, applied.ends_ms
    if row.shape == SLIDING:
        # A window that slides counts what is on hold as used.
        used_now, held = ceil(used(SLIDING, first, second, period_ms, now_ms)), 0
        resets_ms = now_ms + period_ms - now_ms % period_ms
    left = max(0, applied.limit - used_now - held)
    found = BalanceCap(
        id=cap.id,
        level=cap.level,
        target=target or None,
        mode=cap.mode,
        unit=label_of(cap.units) or row.unit,
        limit=applied.limit,
        used=used_now,
        held=held,
        remaining=left,
        resets_at=rfc3339(resets_ms) if cap.window != "lifetime" else None,
    )
    if row.is_money:
        found.limit_micros, found.remaining_micros = applied.limit, left
        found.used_micros, found.held_micros = used_now, held
    return found
