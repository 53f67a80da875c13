"""The demo's customers: who they are, what was agreed with them, how they behave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.cli.demo.data import list_prices
from gateway.client import Spendgate

USD = 1_000_000
FREE_USERS = 40
CONTRACT_DISCOUNT_BPS = 1500


@dataclass(frozen=True)
class Customer:
    """A subject, the models it uses, and its share of the traffic."""

    subject: dict[str, str]
    products: tuple[str, ...]
    weight: int
    discount_bps: int = 0


def customers() -> list[Customer]:
    """Everybody who sends requests, heaviest first."""
    search = {"org": "globex", "project": "search", "key": "key-search"}
    support = {"org": "globex", "project": "support", "user": "agent-7", "key": "key-support"}
    found = [
        Customer(search, ("gpt-5", "gpt-5-mini", "gpt-4.1"), 30, CONTRACT_DISCOUNT_BPS),
        Customer(support, ("claude-sonnet-5", "claude-haiku-4-5"), 20, CONTRACT_DISCOUNT_BPS),
        Customer({"org": "initech", "key": "prod"}, ("gpt-4o", "gpt-4o-mini", "o3"), 25),
        Customer({"org": "sam", "key": "laptop"}, ("gpt-5-mini", "gemini-flash-latest"), 10),
    ]
    free = [
        Customer({"org": f"visitor-{n}"}, ("gpt-4o-mini", "gpt-5-nano"), 1)
        for n in range(FREE_USERS)
    ]
    return found + free


async def set_up(gateway: Spendgate) -> None:
    """Make the demo's prices, plans and customers. Running it again changes nothing."""
    card: dict[str, Any] = {
        "effective_at": "2026-01-01T00:00:00Z",
        "currency": "USD",
        "products": list_prices(),
    }
    await gateway.call("PUT", "/v1/rate_cards/default/versions/2026-01", card)
    await gateway.call("PUT", "/v1/plans/plus", _plus())
    await _enterprise(gateway)
    await gateway.call(
        "PUT", "/v1/orgs/initech", {"name": "Initech", "type": "startup", "plan": "payg"}
    )
    for amount, kind, priority in ((2 * USD, "paid", 10), (USD // 2, "promotional", 5)):
        grant = {"amount_micros": amount, "kind": kind, "priority": priority}
        await gateway.call("POST", "/v1/orgs/initech/grants", grant, key=f"demo-{kind}")
    sam = {"name": "Sam", "type": "individual", "plan": "plus", "timezone": "Europe/Lisbon"}
    await gateway.call("PUT", "/v1/orgs/sam", sam)


def _plus() -> dict[str, Any]:
    return {
        "rate_card": "default",
        "included": [{"id": "monthly", "amount_micros": 2 * USD // 5, "period": "month"}],
        "rate_limits": [{"id": "rpm", "level": "org", "unit": "requests", "limit": 600}],
    }


async def _enterprise(gateway: Spendgate) -> None:
    org = "/v1/orgs/globex"
    about = {
        "name": "Globex",
        "type": "enterprise",
        "plan": "payg",
        "credit_line_micros": 200 * USD,
        "timezone": "America/New_York",
    }
    await gateway.call("PUT", org, about)
    contract = {
        "rate_card": "default",
        "version": "2026-01",
        "starts_at": "2026-01-01T00:00:00Z",
        "discount_bps": CONTRACT_DISCOUNT_BPS,
    }
    await gateway.call("PUT", f"{org}/contract", contract)
    for project in ("search", "support"):
        await gateway.call("PUT", f"{org}/projects/{project}", {"name": project.title()})
        await gateway.call("PUT", f"{org}/keys/key-{project}", {"project": project})
    caps: dict[str, dict[str, Any]] = {
        "search-daily": {"level": "project", "target": "search", "limit_micros": 2 * USD},
        "support-daily": {"level": "project", "target": "support", "limit_micros": 2 * USD},
        "company": {"level": "org", "limit_micros": 100 * USD, "window": "month"},
        "per-user": {"level": "user", "limit_micros": 50 * USD, "mode": "soft"},
    }
    for name, cap in caps.items():
        await gateway.call("PUT", f"{org}/caps/{name}", {"window": "day", **cap})
    limit = {"level": "org", "unit": "concurrent", "limit": 500}
    await gateway.call("PUT", f"{org}/rate_limits/at-once", limit)
