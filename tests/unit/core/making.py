"""Small customers for claims about them: each test names only what it is about."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gateway.core.entities import (
    CardVersion,
    Contract,
    Lineage,
    LineageTerms,
    Org,
    PricePlan,
    Profile,
    RateCard,
)

NOON = 1_795_348_800_000
"""2026-11-22T12:00:00Z, a Sunday."""
CREATED = NOON - 400 * 86_400_000
GPT = {"input_tokens": 2_500_000, "output_tokens": 10_000_000}
CARD = RateCard("default", 1, (CardVersion("v1", 0, "USD", {"gpt": GPT}),))


def ms(text: str) -> int:
    """A time in ISO 8601, with its offset, as Unix ms."""
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo is not None, text
    return round(moment.timestamp() * 1000)


def profile(
    *,
    timezone: str = "UTC",
    version: int = 1,
    credit_line: int = 0,
    created_ms: int = CREATED,
    status: str = "active",
    plan: dict[str, Any] | None = None,
    card: RateCard = CARD,
    contract: Contract | None = None,
    country: str = "",
    **more: Any,
) -> Profile:
    """An org's profile; `version=0` is a free user's. `plan` names parts of its price plan."""
    org = Org(
        "acme",
        "payg",
        timezone=timezone,
        country=country,
        credit_line_micros=credit_line,
        version=version,
        created_ms=created_ms,
        status=status,  # type: ignore[arg-type]  # tests say it as text
    )
    pinned = more.pop("pinned", card if contract else None)
    return Profile(
        org,
        PricePlan("payg", card.id, **(plan or {})),
        card,
        pinned=pinned,
        contract=contract,
        **more,
    )


def lineage(project: str = "", user: str = "", key: str = "", run: str = "") -> Lineage:
    """A lineage of the org."""
    return Lineage("acme", project, user, key, run)


def lineage_terms(of: Lineage | None = None, **more: Any) -> LineageTerms:
    """What the catalog says of a lineage."""
    return LineageTerms(of or lineage(), **more)
