"""Who spends under load: orgs of four kinds, with the funds and limits that make them differ."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import requests

from loadtests.trace import read_prices

USD = 1_000_000
TIMEOUT_S = 30


@dataclass(frozen=True)
class Segment:
    """Orgs that are alike. `share` is their part of the requests."""

    name: str
    share: int
    orgs: int
    users: int
    type: str = ""
    grant_micros: int = 0
    credit_line_micros: int = 0
    caps: dict[str, Any] = field(default_factory=dict)
    rate_limits: dict[str, Any] = field(default_factory=dict)

    def org(self, number: int) -> str:
        """The id of one of its orgs."""
        return f"load-{self.name}-{number}"


VISITORS = Segment("visitor", share=5, orgs=200, users=1)
"""Never created: they live on the free plan."""

CUSTOMERS = (
    Segment(
        "enterprise",
        share=45,
        orgs=3,
        users=200,
        type="enterprise",
        grant_micros=5_000 * USD,
        credit_line_micros=500 * USD,
        caps={
            "day": {"level": "org", "window": "day", "limit_micros": 20 * USD, "mode": "soft"},
            "run": {"level": "run", "window": "lifetime", "limit_micros": USD // 10},
        },
    ),
    Segment(
        "startup",
        share=40,
        orgs=8,
        users=20,
        type="startup",
        grant_micros=500 * USD,
        caps={
            "user-hour": {"level": "user", "window": "hour", "limit_micros": USD // 10},
            "run": {"level": "run", "window": "lifetime", "limit_micros": USD // 50},
        },
        rate_limits={
            "tokens": {"level": "org", "unit": "tokens", "limit": 900_000, "window_s": 60}
        },
    ),
    Segment(
        "individual",
        share=10,
        orgs=20,
        users=1,
        type="individual",
        grant_micros=USD // 16,
        rate_limits={
            "requests": {"level": "user", "unit": "requests", "limit": 30, "window_s": 60},
            "open": {"level": "org", "unit": "concurrent", "limit": 4},
        },
    ),
)
SEGMENTS = (*CUSTOMERS, VISITORS)
SHARES = tuple(segment.share for segment in SEGMENTS)


def draw_subject(chance: random.Random) -> dict[str, str]:
    """One user of one org, each kind by its share."""
    (segment,) = chance.choices(SEGMENTS, SHARES)
    org = segment.org(chance.randrange(segment.orgs))
    return {"org": org, "user": f"u_{chance.randrange(segment.users)}"}


def set_up(host: str, key: str) -> None:
    """Prices, orgs, funds and limits. Again is harmless, and brings fresh funds.

    Raises requests.RequestException.
    """
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {key}"

        def send(method: str, path: str, body: dict[str, Any]) -> None:
            session.request(method, host + path, json=body, timeout=TIMEOUT_S).raise_for_status()

        card = {"effective_at": "2020-01-01T00:00:00Z", "currency": "USD"}
        card_path = "/v1/rate_cards/default/versions/list-prices"
        send("PUT", card_path, {**card, "products": read_prices()})
        for segment in CUSTOMERS:
            account = {"type": segment.type, "credit_line_micros": segment.credit_line_micros}
            grant = {"amount_micros": segment.grant_micros, "kind": "paid"}
            for number in range(segment.orgs):
                path = f"/v1/orgs/{segment.org(number)}"
                send("PUT", path, {"plan": "payg", **account})
                send("POST", f"{path}/grants", grant)
                for name, cap in segment.caps.items():
                    send("PUT", f"{path}/caps/{name}", cap)
                for name, limit in segment.rate_limits.items():
                    send("PUT", f"{path}/rate_limits/{name}", limit)
