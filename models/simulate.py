"""Simulate a world to train on: API customers and abusers over some weeks, seeded.

Honest orgs follow a rhythm of day and week or run day and night, call from datacentres, grow (some
as fast as abusers), switch products, and share one address on a campus. Abusers use leaked keys,
resell, farm free credit and test cards. The sizes of requests are an argument: they come from a
real trace.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator, default_rng

from models.column_counters import Grouped, Real, Whole, trailing
from models.feature_table import Log
from models.world import (
    BEGINS_MS,
    CARDS,
    COUNTRIES,
    DATACENTRES,
    DAY_MS,
    DEAREST_MICROS,
    DEARNESS,
    FARM,
    FREE_LIMIT,
    GOOD,
    HOME_NETWORKS,
    HOUR_MS,
    HOURS_AHEAD,
    IS_DATACENTRE,
    IS_DISPOSABLE,
    LABELLED,
    LEAKED,
    MINUTE_MS,
    OPEN_MS,
    PRODUCTS,
    REFUSED,
    RESALE,
    TYPES,
    Size,
    World,
)


class _Rows:
    """Columns that grow part by part."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Any]] = {}

    def add(self, count: int, **columns: Any) -> None:
        for name, value in columns.items():
            self._parts.setdefault(name, []).append(np.broadcast_to(np.asarray(value), count))

    def all(self) -> dict[str, Any]:
        return {name: np.concatenate(parts) for name, parts in self._parts.items()}


class _Maker:
    """Generator of a world, org by org."""

    def __init__(self, tokens: Whole, size: Size, seed: int) -> None:
        self.chance: Generator = default_rng(seed)
        self.size, self.tokens = size, tokens
        self.rows = _Rows()
        self._orgs = self._ids = 0

    def code(self, count: int = 1) -> Whole:
        """Return codes that were never used before."""
        self._ids += count
        return np.arange(self._ids - count, self._ids)

    def times(self, day: float, rate: float, zone: int, *, flat: bool = False) -> Real:
        """Draw the times of a day's requests, in days, `rate` of them on average.

        They follow the rhythm of a timezone (hours ahead of UTC), or none if `flat`.
        """
        count = self.chance.poisson(rate)
        hours = self.chance.normal(14.5, 4.0, count) if not flat else 24 * self.chance.random(count)
        return np.asarray(day + ((hours - zone) % 24) / 24)

    def org(self, kind: str) -> dict[str, Any]:
        """Draw an org's lasting traits."""
        self._orgs += 1
        country = int(self.chance.integers(len(COUNTRIES)))
        is_server = kind == "paid" and self.chance.random() < 0.5
        asn = int(self.chance.integers(HOME_NETWORKS))
        if is_server:
            asn = HOME_NETWORKS + int(self.chance.integers(DATACENTRES))
        return {
            "org": self._orgs,
            "country": country,
            "zone": int(HOURS_AHEAD[country]),
            "keys": self.code(1 + int(self.chance.integers(4)) if kind == "paid" else 1),
            "users": self.code(1 + int(self.chance.integers(6)) if kind == "paid" else 1),
            "ips": self.code(1 + int(self.chance.integers(3))),
            "asn": asn,
            "device": self.code(2),
            "flat": is_server and self.chance.random() < 0.5,
            "free": kind == "free",
            "free_share": 1.0 if kind == "free" else float(max(0, self.chance.normal(0, 0.1))),
            "holds": kind == "free" or self.chance.random() < 0.5,
            "mix": self.chance.dirichlet(np.array([0.4, 0.5, 1.0, 1.0, 1.5, 1.0])),
        }

    def requests(self, of: dict[str, Any], at: Real, **more: Any) -> None:
        """Add requests of an org at these times (in days); `more` overrides its usual traits."""
        count, chance = len(at), self.chance
        mix = more.pop("mix", of["mix"])
        products = more.pop("products", None)
        if products is None:
            products = chance.choice(len(PRODUCTS), count, p=mix)
        tokens = chance.choice(self.tokens, count) * more.pop("larger", 1.0)
        price = DEAREST_MICROS * DEARNESS[products] / 100
        away = chance.random(count) < 0.01
        columns = {
            "type": 0,
            "at": at,
            "org": of["org"],
            "user": chance.choice(of["users"], count),
            "key": chance.choice(of["keys"], count),
            "ip": chance.choice(of["ips"], count),
            "asn": np.where(away, chance.integers(HOME_NETWORKS, size=count), of["asn"]),
            "device": chance.choice(of["device"], count),
            "country": np.where(away, chance.integers(len(COUNTRIES), size=count), of["country"]),
            "home": of["country"],
            "product": products,
            "tokens": np.floor(tokens),
            "amount": np.maximum(1, np.floor(tokens * price)),
            "free": of["free"],
            "free_share": of["free_share"],
            "holds": of["holds"],
            "disposable": of.get("disposable", False),
            "began": of["began"],
            "scenario": GOOD,
        }
        self.rows.add(count, **(columns | more))

    def events(self, of: dict[str, Any], at: Real, kind: Whole, amount: int) -> None:
        """Add payment events of an org at these times (in days), `amount` micros each."""
        nothing = dict.fromkeys(("user", "key", "ip", "asn", "device", "country", "product"), -1)
        facts = {
            "tokens": 0,
            "free": of["free"],
            "free_share": 0.0,
            "disposable": False,
            "holds": False,
        }
        told = {"type": kind, "at": at, "org": of["org"], "home": of["country"], "amount": amount}
        rest = {"began": of["began"], "scenario": GOOD}
        self.rows.add(len(at), **nothing, **facts, **told, **rest)

    # -- honest ------------------------------------------------------------------------------------

    def honest(self) -> dict[str, Any]:
        """Add a paying org with its rhythm, growth, launches and payments; return its traits."""
        chance, days = self.chance, self.size.days
        of = self.org("paid")
        of["began"] = began = float(
            chance.choice([-chance.exponential(200), chance.uniform(0, 40)])
        )
        rate, growth = min(300.0, float(chance.lognormal(2.6, 0.9))), chance.normal(0.003, 0.004)
        launch, viral = chance.uniform(0, 4 * days), chance.uniform(0, 8 * days)
        switch, better = chance.uniform(0, 4 * days), chance.dirichlet(np.array([2, 1, 1, 1, 1, 1]))
        for day in range(max(0, int(began)), days):
            weekend = 0.35 if (day + 3) % 7 in (5, 6) else 1.0
            grown = rate * np.exp(growth * day) * (2.5 if day > launch else 1.0) * weekend
            grown *= 1.05 ** min(18, max(0.0, day - viral))
            at = self.times(day, grown, of["zone"], flat=of["flat"])
            if day > switch:
                new = min(0.8, 0.06 * (day - switch))
                self.requests(of, at, mix=(1 - new) * of["mix"] + new * better)
            else:
                self.requests(of, at)
            if chance.random() < 0.01:
                # A user works from one more address from now on.
                of["ips"] = np.append(of["ips"], self.code())
        self.pay(of, began, rate)
        return of

    def pay(self, of: dict[str, Any], began: float, rate: float) -> None:
        """Add payments in proportion to an org's rate; 3 % of them are declined."""
        chance, days = self.chance, self.size.days
        paid = np.sort(chance.uniform(max(0, began), days, 1 + chance.poisson(days / 12)))
        kinds = np.where(chance.random(len(paid)) < 0.03, 2, 1)
        self.events(of, paid, kinds, int(20e6 * max(1, rate / 20)))

    def campus(self, count: int) -> None:
        """Add free orgs of single people; every second one shares one campus address."""
        chance, days, address, asn = self.chance, self.size.days, self.code(), 7
        for n in range(count):
            of = self.org("free")
            of["began"] = began = float(chance.uniform(-20, days - 2))
            if n % 2:
                of["ips"], of["asn"] = address, asn
            of["disposable"] = bool(chance.random() < 0.01)
            rate = float(chance.lognormal(0.3, 0.8))
            for day in range(max(0, int(began)), days):
                if chance.random() < 0.3:
                    at = self.times(day, 4 * rate, of["zone"])
                    self.requests(of, at[at >= began], mix=np.array([0, 0, 0.1, 0.2, 0.4, 0.3]))

    # -- abuse -------------------------------------------------------------------------------------

    def leak(self, of: dict[str, Any]) -> None:
        """Add abuse of an honest org's key by others, mostly from datacentres."""
        chance = self.chance
        begins = chance.uniform(max(1, of["began"] + 1), self.size.days - 1)
        for _ in range(1 + chance.poisson(1)):
            count = int(chance.integers(20, 220))
            at = begins + np.sort(chance.uniform(0, chance.uniform(0.02, 0.4), count))
            far = self.code(int(chance.integers(1, 12)))
            asns = HOME_NETWORKS + chance.integers(DATACENTRES, size=count)
            is_stealthy = chance.random() < 0.3
            self.requests(
                of,
                at,
                key=of["keys"][0],
                ip=chance.choice(far, count),
                asn=chance.integers(HOME_NETWORKS, size=count) if is_stealthy else asns,
                device=self.code()[0],
                country=chance.integers(len(COUNTRIES), size=count),
                mix=np.array([0.7, 0.2, 0.1, 0, 0, 0]),
                larger=chance.uniform(1, 8),
                scenario=LEAKED,
            )
            begins += chance.uniform(0.3, 3)
            begins = min(begins, self.size.days - 0.5)

    def resell(self) -> None:
        """Add a reseller: it grows by 5 % a day and asks for dearer products, until it is found."""
        chance, days = self.chance, self.size.days
        of = self.org("paid")
        of["began"] = -float(chance.exponential(60))
        starts = int(chance.integers(1, days - 6))
        lasts = int(chance.integers(8, 29))
        rate = float(chance.uniform(5, 25))
        dear = np.array([0.9, 0.1, 0, 0, 0, 0])
        plain = np.array([0, 0, 0.2, 0.3, 0.4, 0.1])
        for day in range(days):
            since = min(21, max(0, day - starts))
            share = 0.05 + 0.75 * since / 21
            at = self.times(day, rate * 1.05**since, of["zone"], flat=since > 7)
            mix = share * dear + (1 - share) * plain
            scenario = RESALE if since >= 5 else GOOD
            if day < starts + lasts:
                self.requests(of, at, mix=mix, scenario=scenario)
        self.pay(of, 0.0, rate)

    def farm(self) -> None:
        """Add a farm: many free orgs of one abuser, with few addresses and devices.

        Most of them use disposable mail.
        """
        chance = self.chance
        begins = chance.uniform(1, self.size.days - 1.5)
        count = int(chance.integers(50, 140))
        addresses, devices = self.code(max(3, count // 25)), self.code(3)
        asns = chance.integers(HOME_NETWORKS + DATACENTRES, size=len(addresses))
        for _ in range(count):
            of = self.org("free")
            of["began"] = born = begins + float(chance.uniform(0, 0.3))
            at = born + np.sort(chance.exponential(0.02, int(chance.integers(4, 16)))) + 0.001
            place = int(chance.integers(len(addresses)))
            of["ips"], of["asn"] = addresses[place : place + 1], int(asns[place])
            of["device"], of["disposable"] = devices, bool(chance.random() < 0.8)
            self.requests(of, at, mix=np.array([0.3, 0.2, 0.4, 0.1, 0, 0]), scenario=FARM)

    def test_cards(self) -> None:
        """Add card testing: many small payments, most of them declined, and a few requests."""
        chance = self.chance
        of = self.org("paid")
        begins = chance.uniform(1, self.size.days - 1)
        of["began"] = begins - float(chance.uniform(0, 2))
        tries = begins + np.sort(chance.uniform(0, 0.3, int(chance.integers(40, 400))))
        kinds = np.where(chance.random(len(tries)) < 0.9, 2, 1)
        self.events(of, tries, kinds, 1_000_000)
        at = begins + np.sort(chance.uniform(0.01, 0.5, int(chance.integers(10, 60))))
        self.requests(of, at, scenario=CARDS)


def simulate(tokens: Whole, size: Size | None = None, seed: int = 1) -> World:
    """Simulate a world; the sizes of its requests are drawn from `tokens`."""
    size = size or Size()
    maker = _Maker(tokens, size, seed)
    honest = [maker.honest() for _ in range(size.orgs)]
    maker.campus(size.free_orgs)
    for of in maker.chance.choice(np.array(honest, object), size.leaks, replace=False):
        maker.leak(of)
    for _ in range(size.resellers):
        maker.resell()
    for _ in range(size.farms):
        maker.farm()
    for _ in range(size.card_testers):
        maker.test_cards()
    return _joined(maker, size)


def _joined(maker: _Maker, size: Size) -> World:
    """Join all rows in the order of time, with labels as events among them."""
    c = maker.rows.all()
    inside = (c["at"] >= 0) & (c["at"] < size.days)
    c = {name: column[inside] for name, column in c.items()}
    at_ms = BEGINS_MS + np.floor(c["at"] * DAY_MS).astype(np.int64)
    is_fraud = (c["scenario"] != GOOD) & (c["type"] == 0)
    told_ms = _labelled_at(
        maker.chance, at_ms, np.where(is_fraud, c["org"] * 10 + c["scenario"], -1)
    )
    is_told = told_ms > 0
    labels = np.flatnonzero(is_told & (told_ms < BEGINS_MS + size.days * DAY_MS))
    c = {name: np.concatenate([column, column[labels]]) for name, column in c.items()}
    c["type"][len(at_ms) :] = LABELLED
    told = np.concatenate([told_ms, np.zeros(len(labels), np.int64)])
    moments = np.concatenate([at_ms, told_ms[labels]])
    order = np.argsort(moments, kind="stable")
    c = {name: column[order] for name, column in c.items()}
    log = _log(c, moments[order], maker.chance)
    scenario, product = (c[name].astype(np.int64) for name in ("scenario", "product"))
    return World(log, scenario, told[order], product)


def _labelled_at(chance: Generator, at_ms: Whole, incidents: Whole) -> Whole:
    """Draw when requests were labelled (Unix ms; 0: never).

    An incident is found at most six days after its end, so nothing is known of it while it goes on.
    Within an hour, 92 % of its requests are then labelled.
    """
    found = np.zeros(len(at_ms), np.int64)
    for incident in np.unique(incidents[incidents >= 0]):
        rows = np.flatnonzero(incidents == incident)
        ended_ms = int(at_ms[rows].max())
        delay_ms = int(DAY_MS * min(6.0, chance.lognormal(0.6, 0.6)))
        seen = rows[chance.random(len(rows)) < 0.92]
        found[seen] = ended_ms + delay_ms + chance.integers(0, HOUR_MS, len(seen))
    return found


def _log(c: dict[str, Any], at_ms: Whole, chance: Generator) -> Log:
    whole = {n: c[n].astype(np.int64) for n in ("org", "user", "key", "ip", "asn", "device")}
    amounts, is_request = c["amount"].astype(np.int64), c["type"] == 0
    orgs = Grouped.of(np.where(is_request, whole["org"], -1))
    open_holds, held = trailing(orgs, at_ms, amounts.astype(float), OPEN_MS)
    in_minute, _ = trailing(orgs, at_ms, np.zeros(len(at_ms)), MINUTE_MS)
    hours = at_ms // HOUR_MS
    zones = HOURS_AHEAD[c["home"].astype(int)]
    local = hours + zones
    product = c["product"].astype(np.int64)
    dearness = np.where(product >= 0, DEARNESS[product], 0)
    size = np.frexp(amounts.astype(float))[1].astype(np.int64)
    facts = {
        "amount": amounts.astype(float),
        "tokens": c["tokens"].astype(float),
        "dearness": dearness.astype(float),
        "hour": (local % 24).astype(float),
        "weekday": ((local // 24 + 3) % 7 + 1).astype(float),
        "org.is_free": c["free"].astype(float),
        "org.age": np.where(c["free"], np.nan, at_ms - BEGINS_MS - np.floor(c["began"] * DAY_MS)),
        "context.country": c["country"].astype(float),
        "org.country": np.where(c["free"], np.nan, c["home"]).astype(float),
        IS_DATACENTRE: (whole["asn"] >= HOME_NETWORKS).astype(float),
        IS_DISPOSABLE: c["disposable"].astype(float),
        "free_share": c["free_share"].astype(float),
        # Orgs that capture immediately have no holds, and no limit on open ones.
        "held": np.where(c["holds"], held - amounts, 0.0),
        "open_holds": np.where(c["holds"], open_holds - 1, np.nan),
    }
    same = {
        "product": product,
        "tier": (dearness >= 50).astype(np.int64),
        "size": size,
        "hour": local % 24,
    }
    is_limited = c["free"].astype(bool) & (in_minute > FREE_LIMIT)
    refused = (is_limited | (chance.random(len(at_ms)) < REFUSED)).astype(np.int64)
    entities = whole | {"network": whole["ip"]}
    codes = c["type"].astype(np.int64)
    return Log(at_ms, TYPES, codes, amounts, refused, entities, same, facts, at_ms)
