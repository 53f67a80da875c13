"""The funding waterfall: from which balances a request is paid, and in which order."""

from __future__ import annotations

from gateway.core import names
from gateway.core.counters import Source
from gateway.core.entities import Grant, Included, Lineage, Profile
from gateway.core.sources import ADJUSTMENTS, CREDIT_LINE, GRANT, INCLUDED
from gateway.core.windows import FOREVER_MS, HOUR_MS, bounds

INCLUDED_GRACE_MS = 2 * HOUR_MS
"""Time in ms that an included quota's balance outlives the period after its own."""


def grant_name(grant_id: str) -> str:
    """Name the balance of a grant."""
    return names.join(GRANT, grant_id)


def included_name(included: Included, start_ms: int) -> str:
    """Name the balance of an included quota in the period that starts at `start_ms` (Unix ms)."""
    return names.join(INCLUDED, included.id, str(start_ms))


POOL = Lineage("")
"""The lineage of what no project, user or key asks for."""
NARROWEST_FIRST = ("key", "user", "project", "")


def pays_for(grant: Grant, lineage: Lineage) -> bool:
    """Return whether a grant may pay for requests of a lineage."""
    return grant.level == "" or lineage.at(grant.level) == grant.target


def burn_order(grants: tuple[Grant, ...]) -> list[Grant]:
    """Sort grants: narrowest first (key, user, project, org), then by priority (low first),
    earliest expiry, promotional before paid, oldest.
    """
    return sorted(
        grants,
        key=lambda g: (
            NARROWEST_FIRST.index(g.level),
            g.priority,
            g.expires_ms if g.expires_ms is not None else FOREVER_MS,
            g.kind == "paid",
            g.created_ms,
            g.id,
        ),
    )


def waterfall(
    profile: Profile, product: str | None, now_ms: int, lineage: Lineage = POOL
) -> tuple[tuple[Source, ...], int, int]:
    """List sources in the order they burn, and the span [from, until) in which that order holds.

    Times are Unix ms. Included quota burns first, then grants, adjustments and the credit line.
    `product` None means all funds, whatever they may be spent on. A grant for a project, user or
    key is a source of that one's requests alone; without a lineage only the org's pool is listed.
    """
    sources: list[Source] = []
    from_ms, until_ms = 0, FOREVER_MS
    for included in profile.plan.included:
        starts_ms, ends_ms = bounds(included.period, profile.org.timezone, now_ms)
        from_ms, until_ms = max(from_ms, starts_ms), min(until_ms, ends_ms)
        if included.products is None or product is None or product in included.products:
            sources += included_sources(included, profile, now_ms)
    for grant in burn_order(tuple(g for g in profile.grants if pays_for(g, lineage))):
        effective_ms, expires_ms = grant.effective_ms or 0, grant.expires_ms or FOREVER_MS
        if now_ms < effective_ms:
            until_ms = min(until_ms, effective_ms)
        elif now_ms >= expires_ms:
            from_ms = max(from_ms, expires_ms)
        else:
            from_ms, until_ms = max(from_ms, effective_ms), min(until_ms, expires_ms)
            if grant.products is None or product is None or product in grant.products:
                is_given = grant.kind != "paid"
                sources.append(Source(grant_name(grant.id), perishable=True, is_given=is_given))
    if not profile.is_free:
        sources.append(Source(ADJUSTMENTS))
        sources.append(Source(CREDIT_LINE, floor=-profile.org.credit_line_micros))
    return tuple(sources), from_ms, until_ms


def included_sources(included: Included, profile: Profile, now_ms: int) -> list[Source]:
    """List the quota of this period and, with rollover, before it what the last period left.

    A balance starts at 0 with floor -quota, so that a change of plan needs no rewrite. It stays
    until the next period is over, for rollover and late releases.
    """
    starts_ms, ends_ms = bounds(included.period, profile.org.timezone, now_ms)
    _, next_ends_ms = bounds(included.period, profile.org.timezone, ends_ms)
    floor = -included.amount_micros
    found = [_quota(included_name(included, starts_ms), floor, next_ends_ms + INCLUDED_GRACE_MS)]
    if included.rollover and profile.org.created_ms < starts_ms and not profile.is_free:
        before_ms, _ = bounds(included.period, profile.org.timezone, starts_ms - 1)
        name = included_name(included, before_ms)
        found.insert(0, _quota(name, floor, ends_ms + INCLUDED_GRACE_MS))
    return found


def _quota(name: str, floor: int, expires_ms: int) -> Source:
    return Source(name, floor, expires_ms, perishable=True, is_given=True)
