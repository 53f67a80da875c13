"""A simulated world of API customers and abusers: its constants, size and log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.column_counters import Whole
from models.feature_table import Log

DAY_MS, HOUR_MS, MINUTE_MS = 86_400_000, 3_600_000, 60_000
BEGINS_MS = 20_454 * DAY_MS
"""1 January 2026, a Thursday."""
GOOD, LEAKED, RESALE, FARM, CARDS = range(5)
SCENARIOS = ("good", "leaked key", "resale", "free-credit farm", "card testing")
PRODUCTS = ("gpt-5-pro", "claude-opus-5", "gpt-5", "gemini-pro", "gpt-5-mini", "gpt-5-nano")
DEARNESS = np.array([100, 60, 25, 12, 5, 2])
DEAREST_MICROS = 60.0
"""Micros that a token of the dearest product costs."""
CARD = {
    product: {"input_tokens": round(DEAREST_MICROS * 1_000_000 * dear / 100)}
    for product, dear in zip(PRODUCTS, DEARNESS.tolist(), strict=True)
}
"""Prices of the world as a rate card has them: product → unit → price."""
COUNTRIES = ("US", "DE", "GB", "IN", "BR", "JP", "FR", "SG")
HOURS_AHEAD = np.array([-6, 1, 0, 5, -3, 9, 1, 8])
"""Hours ahead of UTC, by country."""
TIMEZONES = tuple(f"Etc/GMT{-hours:+}" if hours else "Etc/GMT" for hours in HOURS_AHEAD.tolist())
"""The same as timezone names, in which the sign is inverted: Etc/GMT-1 is ahead of UTC."""
TYPES = ("", "payment_succeeded", "payment_declined", "labelled_fraud")
LABELLED = 3
HOME_NETWORKS, DATACENTRES = 220, 40
"""Numbers of network operators: home networks have the first codes, datacentres the next."""
IS_DISPOSABLE = "context.email_domain in @disposable_mail"
IS_DATACENTRE = "context.asn in @datacentres"
DISPOSABLE = "mail-for-an-hour.example"
FREE_LIMIT = 20
"""Requests a minute allowed to a free org."""
REFUSED = 0.004
"""Share of requests that are refused for any other reason."""
OPEN_MS = 20_000
"""Time for which a request's hold is open."""


@dataclass(frozen=True)
class Size:
    """Size of a world: days, honest orgs, and abusers of each kind."""

    days: int = 60
    orgs: int = 280
    free_orgs: int = 500
    leaks: int = 30
    resellers: int = 20
    farms: int = 9
    card_testers: int = 20


@dataclass(frozen=True)
class World:
    """Requests and events in order, with the truth about each request (`scenario` codes).

    `fraud_told_ms` is when a request was labelled as fraud (Unix ms; 0: never). Some fraud never
    is.
    """

    log: Log
    scenario: Whole
    fraud_told_ms: Whole
    products: Whole

    def calls(self) -> Iterator[tuple[int, int, str, dict[str, Any]]]:
        """Yield the calls that a gateway would receive, in order: row, time (Unix ms), path, body.

        Labels are left out: they name decisions, which only the gateway makes.
        """
        log = self.log
        for row, code in enumerate(log.type_codes.tolist()):
            kind, org = TYPES[code], f"org-{log.entities['org'][row]}"
            if code == 0:
                yield row, int(log.at_ms[row]), "/v1/authorize", self._request(row, org)
            elif code != LABELLED:
                amount = int(log.amounts[row])
                event = {"type": kind, "subject": {"org": org}, "amount_micros": amount}
                yield row, int(log.at_ms[row]), "/v1/events", event

    def _request(self, row: int, org: str) -> dict[str, Any]:
        of, facts = self.log.entities, self.log.facts
        ip = int(of["ip"][row])
        context = {
            "ip": f"10.{ip >> 8 & 255}.{ip & 255}.1",
            "asn": int(of["asn"][row]),
            "country": COUNTRIES[int(facts["context.country"][row])],
            "device": f"d-{of['device'][row]}",
            "email_domain": DISPOSABLE if facts[IS_DISPOSABLE][row] else "example.com",
        }
        return {
            "subject": {"org": org, "user": f"u-{of['user'][row]}", "key": f"k-{of['key'][row]}"},
            "product": PRODUCTS[int(self.products[row])],
            "quantity": {"input_tokens": int(facts["tokens"][row])},
            "capture": True,
            "context": context,
        }
