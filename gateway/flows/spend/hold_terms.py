"""Compile today's terms and funds for settling a hold."""

from __future__ import annotations

from msgspec import structs

from gateway.core.commands import Finish
from gateway.core.request_record import RequestRecord
from gateway.core.terms import Terms
from gateway.flows.spend.services import SpendServices


async def current_terms(services: SpendServices, asked: RequestRecord) -> Terms:
    """Today's terms of a hold's lineage and product."""
    lineage, product = asked.lineage, asked.terms.product
    terms = await services.profiles.terms(lineage, product, services.clock.now_ms())
    if terms.needs.book != asked.terms.book:
        # A worker that has not met the org yet takes it for a free user: look before believing.
        await services.profiles.load(lineage.org)
        terms = await services.profiles.terms(lineage, product, services.clock.now_ms())
    return terms


async def with_funds(services: SpendServices, order: Finish, asked: RequestRecord) -> Finish:
    """The order with the sources that pay what exceeds the hold, as of now."""
    terms = await current_terms(services, asked)
    # A free user's hold stays on the plan's books, even if the org got an account meanwhile.
    is_same_book = terms.needs.book == asked.terms.book
    return structs.replace(
        order,
        sources=terms.needs.sources if is_same_book else (),
        versions=terms.needs.versions,
        valid_from_ms=terms.needs.valid_from_ms,
        valid_until_ms=terms.needs.valid_until_ms,
        has_sources=True,
    )
