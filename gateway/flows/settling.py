"""What a hold is settled with: today's terms and funds of whoever it was made for."""

from __future__ import annotations

from msgspec import structs

from gateway.core.entities import Lineage
from gateway.core.orders import Finish
from gateway.core.record import Asked
from gateway.core.terms import Terms
from gateway.flows.gateway import Gateway


def lineage_of(asked: Asked) -> Lineage:
    """Whose request it was."""
    terms = asked.terms
    return Lineage(terms.org, terms.project, terms.user, terms.key, asked.run)


async def current_terms(gateway: Gateway, asked: Asked) -> Terms:
    """Today's terms of a hold's lineage and product."""
    lineage, product = lineage_of(asked), asked.terms.product
    terms = await gateway.profiles.terms(lineage, product, gateway.clock.now_ms())
    if terms.needs.book != asked.terms.book:
        # A worker that has not met the org yet takes it for a free user: look before believing.
        await gateway.profiles.load(lineage.org)
        terms = await gateway.profiles.terms(lineage, product, gateway.clock.now_ms())
    return terms


async def with_funds(gateway: Gateway, order: Finish, asked: Asked) -> Finish:
    """The order with the sources that pay what exceeds the hold, as of now."""
    terms = await current_terms(gateway, asked)
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
