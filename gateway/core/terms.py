"""Terms: everything about a lineage and product that does not depend on the single request.

Terms are compiled once and used until a version changes or a window ends.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from gateway.core import names
from gateway.core.caps import (
    FREE_HELD_COUNTER,
    HELD_COUNTER,
    Measured,
    applied,
    measured_by,
    window_ends,
)
from gateway.core.commands import PlanTemplate, Version
from gateway.core.counters import Counter
from gateway.core.entities import Lineage, LineageTerms, Member, MemberKind, Profile
from gateway.core.funding import waterfall
from gateway.core.pricing import Price, is_allowed, price_of, tariff
from gateway.core.reasons import Reason, Refusal
from gateway.core.request_record import Customer, RecordedTerms
from gateway.core.windows import DAY_MS, FOREVER_MS
from gateway.errors import CallerError

LONGEST_MS = DAY_MS
"""Longest life of compiled terms in ms: they are compiled anew at least daily.

A counter without a calendar window lives for a time that begins when its terms are compiled, and
must far outlive the requests that count in it.
"""


class Terms(Struct, frozen=True):
    """Compiled terms of a lineage and product: the store's template, and the record's part."""

    needs: PlanTemplate
    asked: RecordedTerms
    brief: RecordedTerms
    """The part of the terms that a hold keeps: subject, product and price."""
    measured: Measured = ()
    """The sets of units that its limits count."""

    @property
    def price(self) -> Price | None:
        """The price in force, if any."""
        return self.asked.price


def versions_of(profile: Profile) -> tuple[Version, ...]:
    """List every version that a plan made from this profile depends on."""
    org = profile.org
    found = [
        Version("org", org.id, org.version),
        Version("plan", profile.plan.id, profile.plan.version),
        Version("card", profile.card.id, profile.card.changes),
    ]
    if not profile.is_free:
        found.append(Version("grants", org.id, profile.grants_version))
    return tuple(found)


def book_of(profile: Profile) -> str:
    """Name the account that an org's money is booked on."""
    return (
        names.collective_book(profile.plan.id)
        if profile.is_free
        else names.own_book(profile.org.id)
    )


def held_counter(profile: Profile) -> Counter:
    """Return the gauge of what this org, or free user, has on hold."""
    return FREE_HELD_COUNTER if profile.is_free else HELD_COUNTER


def compile_terms(
    profile: Profile, lineage_terms: LineageTerms, product: str, now_ms: int
) -> Terms:
    """Compile terms as of the store's clock (Unix ms); raises CallerError `currency_mismatch`."""
    rate = tariff(profile, now_ms)
    price = price_of(rate, product)
    if price is not None and not profile.is_free and price.currency != profile.org.currency:
        raise CallerError(
            "currency_mismatch",
            f"the rate card is in {price.currency}, the org in {profile.org.currency}",
        )
    lineage = lineage_terms.lineage
    sources, from_ms, until_ms = waterfall(profile, product, now_ms, lineage)
    found = applied(profile, lineage_terms, product, now_ms)
    measured = measured_by(found)
    refusals, key_from_ms, key_until_ms = _refusals(profile, lineage_terms, now_ms)
    if not is_allowed(rate, product):
        refusals.append(
            _refusal(Reason.product_not_allowed, product, "the contract excludes this product")
        )
    from_ms = max(from_ms, rate.from_ms, key_from_ms)
    until_ms = min(until_ms, rate.until_ms, key_until_ms, now_ms + LONGEST_MS)
    for starts_ms, ends_ms in window_ends(found):
        from_ms, until_ms = max(from_ms, starts_ms), min(until_ms, ends_ms)
    book, versions = book_of(profile), versions_of(profile)
    currency = price.currency if price and profile.is_free else profile.org.currency
    needs = PlanTemplate(
        lineage.org,
        book,
        currency,
        product,
        (*(a.counter(measured) for a in found), held_counter(profile)),
        sources,
        versions,
        signal_entities(lineage),
        from_ms,
        until_ms,
    )
    asked = RecordedTerms(
        lineage.org,
        lineage.project,
        lineage.user,
        lineage.key,
        product,
        book,
        currency,
        price,
        tuple(refusals),
        tuple(a.terms(measured) for a in found),
        sources,
        tuple(v.expected for v in versions),
        Customer(
            profile.plan.id,
            profile.org.type,
            profile.org.created_ms,
            profile.org.timezone,
            profile.org.country,
        ),
    )
    return Terms(needs, asked, brief(asked), measured)


def brief(asked: RecordedTerms) -> RecordedTerms:
    """Reduce terms to what a hold remembers: whose, which product, at which price."""
    return replace(asked, refusals=(), limits=(), sources=(), versions=(), customer=None)


def terms_of_hold(
    terms: Terms,
    profile: Profile,
    lineage_terms: LineageTerms,
    price: Price | None,
    created_ms: int,
) -> Terms:
    """Combine today's funds and refusals with a hold's own price and cap windows, to extend it.

    `created_ms` is when the hold was made (Unix ms). An extend is no request of its own and takes
    no slot: those limits do not apply again.
    """
    found = [
        a
        for a in applied(profile, lineage_terms, terms.needs.product, created_ms)
        if not a.row.counts_calls
    ]
    measured = measured_by(found)
    counters = (*(a.counter(measured) for a in found), held_counter(profile))
    limits = tuple(a.terms(measured) for a in found)
    return Terms(
        replace(terms.needs, counters=counters, prepared=None, shown=None),
        replace(terms.asked, limits=limits, price=price),
        terms.brief,
        measured,
    )


def signal_entities(lineage: Lineage) -> tuple[str, ...]:
    """List the entities whose attempts are counted, in the order of an outcome's signals."""
    found = ["o"]
    if lineage.user:
        found.append(names.join("u", lineage.user))
    if lineage.key:
        found.append(names.join("k", lineage.key))
    return tuple(found)


def _refusal(reason: Reason, of: str, detail: str) -> Refusal:
    return Refusal(int(reason), of, detail)


def unpriced(product: str) -> Refusal:
    """Make the refusal of a product without a price: an unknown price never means free."""
    return _refusal(Reason.product_unpriced, product, f"no price is known for {product}")


def _refusals(profile: Profile, terms: LineageTerms, now_ms: int) -> tuple[list[Refusal], int, int]:
    """Collect account refusals, and the interval [from_ms, until_ms) in which they hold."""
    found, from_ms, until_ms = [], 0, FOREVER_MS
    members = {m.kind: m for m in terms.members}
    if profile.org.status == "suspended":
        found.append(_refusal(Reason.org_suspended, profile.org.id, "the org is suspended"))
    suspensions: tuple[tuple[MemberKind, Reason], ...] = (
        ("project", Reason.project_suspended),
        ("user", Reason.user_suspended),
    )
    for kind, reason in suspensions:
        member = members.get(kind)
        if member is not None and member.status == "suspended":
            found.append(_refusal(reason, member.id, f"the {kind} is suspended"))
    key = members.get("key")
    if key is None:
        if terms.lineage.key and profile.has_keys:
            found.append(
                _refusal(Reason.key_unknown, terms.lineage.key, "the key is not registered")
            )
        return found, from_ms, until_ms
    found += _key_refusals(key, terms.lineage, now_ms)
    if key.expires_ms is not None and now_ms < key.expires_ms:
        until_ms = key.expires_ms
    elif key.expires_ms is not None:
        from_ms = key.expires_ms
    return found, from_ms, until_ms


def _key_refusals(key: Member, lineage: Lineage, now_ms: int) -> list[Refusal]:
    found = []
    for kind, bound, named in (
        ("project", key.project, lineage.project),
        ("user", key.user, lineage.user),
    ):
        if bound and bound != named:
            detail = f"the key belongs to {kind} {bound}, not {named}"
            found.append(_refusal(Reason.key_unknown, key.id, detail))
    if key.status != "active":
        found.append(_refusal(Reason.key_disabled, key.id, "the key is disabled"))
    if key.expires_ms is not None and now_ms >= key.expires_ms:
        found.append(_refusal(Reason.key_expired, key.id, "the key has expired"))
    return found
