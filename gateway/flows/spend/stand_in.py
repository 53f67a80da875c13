"""Answer while the store is down: deny, or allow up to what the org agreed to."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.core import ids, plan
from gateway.core.commands import Idempotency, Mode
from gateway.core.entities import Cap, LineageTerms, Profile
from gateway.core.terms import Terms, compile_terms
from gateway.errors import Unavailable
from gateway.flows.risk.assessment import assess
from gateway.flows.spend.services import SpendServices
from gateway.flows.spend.stand_in_state import StandInApproval, encode_opened
from gateway.wire import records
from gateway.wire.answers.spend import AuthorizeAnswer, stand_in_answer


async def allow(
    services: SpendServices, request: plan.Request, id_body: str, idempotency: Idempotency | None
) -> AuthorizeAnswer | None:
    """Allow a request by its org's policy, or None: then it is denied as unavailable."""
    outage, org = services.outage, request.lineage.org
    if request.mode is Mode.DRY:
        return None
    try:
        profile = await services.profiles.without_store(org)
        if not profile.org.open_micros:
            return None
        lineage_terms = await services.catalog.lineage(request.lineage)
    except Unavailable:
        return None
    now_ms = services.clock.now_ms()
    terms = unlimited_terms(profile, lineage_terms, request.product, now_ms)
    amount = plan.quote(terms, request)
    asked = plan.make(terms, request, ids.DECISION + id_body, ids.HOLD + id_body, amount)
    assess(services.rules.policies, asked, now_ms)
    if services.rules.policies.scoring is not None and services.settings.unscored != "allow":
        # Without the store nothing is known that it could be scored by.
        return None
    if asked.is_refused or not outage.take(org, amount, profile.org.open_micros):
        return None
    opened = StandInApproval(id_body, request, amount, now_ms, idempotency)
    try:
        await outage.journal.append(encode_opened(opened))
    except OSError:
        outage.give_back(org, amount)
        return None
    answer = stand_in_answer(asked, now_ms + request.hold_ttl_ms)
    outage.keep(idempotency, answer)
    services.hooks.on_stand_in(terms.needs.currency, amount)
    return answer


def unlimited_terms(
    profile: Profile, lineage_terms: LineageTerms, product: str, now_ms: int
) -> Terms:
    """Terms whose caps count but do not deny: nothing can check them, or it was approved."""
    price_plan = replace(profile.plan, caps=_shadows(profile.plan.caps), rate_limits=())
    profile = replace(profile, plan=price_plan, caps=_shadows(profile.caps), rate_limits=())
    lineage_terms = replace(lineage_terms, caps=_shadows(lineage_terms.caps), rate_limits=())
    return records.seal(compile_terms(profile, lineage_terms, product, now_ms))


def _shadows(caps: tuple[Cap, ...]) -> tuple[Cap, ...]:
    return tuple(replace(cap, mode="shadow") for cap in caps)
