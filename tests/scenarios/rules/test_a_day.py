"""R6: a day replayed on the store's clock, decided again from its records, windows and all."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta

from gateway.core.commands import Outcome
from gateway.core.facts import tallied_of
from gateway.core.request_record import RequestRecord
from gateway.flows.analysis.point_in_time import READ, InOrder, PointInTime
from gateway.ledger.history import History
from gateway.sql.engine import open_engine
from gateway.store.pipeline import parse_url
from loadtests.trace import read_requests
from tests.gateways import Caller, Gateway
from tests.scenarios.clocks import Clock
from tests.scenarios.rules import alone
from tests.scenarios.rules.rulebook import booked, cents, gathered, in_force, rule, rules

gateway = alone.gateway
READS = (
    'velocity.cost("key", 10m)',
    'velocity.count("ip", 3h)',
    'velocity.distinct("device", by "user", 2h)',
    'velocity.distinct("org", by "ip", 5h)',
    'velocity.events("payment_declined", by "org", 6h)',
)
COST, FROM_IP, DEVICES, ORGS, DECLINES = READS
ACTIVE = rules(
    rule("spree", "block", f"{COST} + amount > 1 USD"),
    rule("crowd", "challenge", f"{FROM_IP} > 60 && {ORGS} > 3"),
    rule("devices", "review", f"{DEVICES} >= 3"),
    rule("declined", "block", f"{DECLINES} >= 2"),
    rule("listed", "block", "context.device in @lost"),
    rule("night", "review", 'hour < 5 && velocity.cost("user", 1h) > 0.20 USD'),
)
SHADOW = rules(
    rule("spree", "block", f"{COST} + amount > 0.70 USD"),
    rule("crowd", "block", f"{ORGS} > 2"),
    rule("hourly", "review", 'velocity.cost("org", 1h) > 1.50 USD'),
)
HOURS, AN_HOUR = 24, 50
ENDED = "2039-01-01T00:00:00Z"


async def a_day(caller: Caller, org: str, clock: Clock) -> int:
    """A day of requests in the sizes of a real trace, some told of declines; how many."""
    chance = random.Random(6)
    sizes = [one.input_tokens + one.output_tokens for one in read_requests()]
    began = datetime.now(UTC)
    for hour in range(HOURS):
        await clock.runs_from(began + timedelta(hours=hour))
        await asyncio.gather(*(one(caller, org, chance, sizes) for _ in range(AN_HOUR)))
    return HOURS * AN_HOUR


async def one(caller: Caller, org: str, chance: random.Random, sizes: list[int]) -> None:
    context = {"ip": f"10.9.0.{chance.randrange(3)}", "device": f"d{chance.randrange(9)}"}
    whose = chance.choice([org, org, f"{org}-b", f"{org}-c", f"{org}-d"])
    asked = cents(1 + chance.choice(sizes) // 100, context=context, capture=chance.random() < 0.3)
    user, key = f"u{chance.randrange(3)}", f"k{chance.randrange(4)}"
    if chance.random() < 0.05:
        body = {"type": "payment_declined", "subject": {"org": whose}}
        await caller.ok("POST", "/v1/events", body)
    await caller.authorize(whose, user=user, key=key, **asked)


def ledgered(gateway: Gateway) -> History:
    return History(open_engine(f"sqlite:///{gateway.directory / 'ledger.db'}"))


async def test_r6_a_day_replayed_is_decided_as_it_was_and_a_draft_as_in_its_shadow(
    caller: Caller, org: str, gateway: Gateway
) -> None:
    since = datetime.now(UTC).isoformat()
    for more in "bcd":
        await caller.org(f"{org}-{more}", 1_000_000_000)
    await caller.ok("PUT", "/v1/lists/lost/items/d8", {})
    shadow = await in_force(caller, SHADOW, "shadow")
    active = await in_force(caller, ACTIVE)
    made = await a_day(caller, org, Clock(parse_url(gateway.store_url).path))
    await booked(caller)

    found = await caller.ok("POST", f"/v1/rulesets/{active}/backtest", {"from": since, "to": ENDED})
    print(f"{found['same']} of {found['same'] + found['differs']} decided as they were")
    assert found["differs"] == 0
    assert found["same"] == found["requests"] > 0.9 * made
    hit = {rule["rule"] for rule in found["rules"] if rule["requests"]}
    assert hit == {"spree", "crowd", "devices", "declined", "listed", "night"}

    tried = await caller.ok("POST", f"/v1/rulesets/{shadow}/backtest", {"from": since, "to": ENDED})
    days = {"from": since[:10], "to": ENDED[:10]}
    query = "&".join(f"{name}={day}" for name, day in days.items())
    told = await gathered(caller, shadow, query)
    seen = {rule["rule"]: rule["requests"] for rule in told["rules"]}
    assert {rule["rule"]: rule["requests"] for rule in tried["rules"]} == seen
    assert min(seen.values()) > 10 and told["requests"] == {"shadow": tried["requests"]}

    await what_was_counted_is_computed_anew(ledgered(gateway))


async def what_was_counted_is_computed_anew(history: History) -> None:
    """From the records alone, as if nobody had counted it.

    Of what many orgs share it is not known which of two shards was first within a millisecond.
    """
    lookback, order, compared = PointInTime(READS, b""), InOrder(), Counter[str]()
    lines = await history.numbered(0, 1_000_000, READ)
    ordered = [*order.take(lines), *order.rest()]
    moments = Counter(out.now_ms for _, _, out, _ in ordered)
    for _, line, out, note in ordered:
        if line.kind != "authorize" or not isinstance(note, RequestRecord):
            lookback.note(out, note)
            continue
        assert isinstance(out, Outcome)
        anew = lookback.seen(note, out, ())
        for name, number in tallied_of(note, out).items():
            if name in READS:
                others = moments[out.now_ms] - 1 if name in (FROM_IP, ORGS) else 0
                assert abs(anew[name] - number) <= others, (name, line)
                compared[name] += number > 0
    assert min(compared[name] for name in READS) > 20, compared
