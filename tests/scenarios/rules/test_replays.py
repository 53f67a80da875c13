"""A decision is made again from its record, and comes out the same; a record that lies is seen."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from gateway.core.commands import Outcome
from gateway.core.request_record import RequestRecord
from gateway.flows.decisions.replay import replayed
from gateway.flows.risk.policies import Cited
from gateway.ledger.history import History
from gateway.sql.engine import open_engine
from gateway.wire import records
from rules.engine import Phased
from rules.ruleset import load
from tests.gateways import Caller, Gateway
from tests.scenarios.rules.rulebook import CENT, USD, cents, in_force, rule, rules

BOOK = rules(
    rule("large", "block", "amount > 5 USD"),
    rule("spree", "block", 'velocity.cost("key", 1h) > 8 USD'),
    rule("check", "challenge", "context.asn == 7"),
    rule("odd", "review", "context.asn == 8"),
    rule("lost", "block", 'context.device == "x"'),
)
SHADOW = rules(rule("often", "block", 'velocity.count("user", 1h) > 2'))


async def varied(caller: Caller, org: str) -> list[Any]:
    """Decisions of all kinds: allowed, stopped early and late, by caps, rates, slots and funds."""
    cap = {"level": "user", "window": "day", "limit_micros": 20 * USD, "target": "capped"}
    await caller.ok("PUT", f"/v1/orgs/{org}/caps/daily", cap)
    soft = {**cap, "mode": "soft", "limit_micros": 1}
    await caller.ok("PUT", f"/v1/orgs/{org}/caps/soft", soft)
    for name, unit, limit in (("rate", "requests", 2), ("slots", "concurrent", 1)):
        of = {"level": "key", "target": name, "unit": unit, "limit": limit}
        await caller.ok("PUT", f"/v1/orgs/{org}/rate_limits/{name}", of)
    asked = [
        *(cents(200, key="spree", user="u") for _ in range(7)),
        cents(600),
        cents(450, user="capped"),
        *(cents(1, context={"asn": n, "ip": "203.0.113.9"}) for n in (7, 8, 9)),
        *(cents(1, key="rate") for _ in range(4)),
        *(cents(1, key="slots") for _ in range(2)),
        cents(10, capture=True),
        cents(1_000_000),
        cents(400, user="capped", partial={"unit": "units", "at_least": 5}),
        {"amount_micros": 3 * CENT},
    ]
    answers = [await caller.authorize(org, **one) for one in asked]
    challenge = {"decision": answers[9]["id"], "passed": True}
    answers.append(await caller.authorize(org, **cents(1, context={"asn": 7}, challenge=challenge)))
    return answers


async def test_every_decision_is_made_again_the_same(
    caller: Caller, org: str, gateway: Gateway
) -> None:
    ruleset, shadow = await in_force(caller, BOOK), await in_force(caller, SHADOW, "shadow")
    answers = await varied(caller, org)
    codes = {reason["code"] for answer in answers for reason in answer["reasons"]}
    assert codes == {
        "rule_blocked", "challenge_required", "rate_limited", "concurrency_limited",
        "insufficient_funds",
    }  # fmt: skip
    assert answers[-1]["decision"] == "allow"
    for name in (ruleset, shadow):
        await caller.ok("POST", f"/v1/rulesets/{name}/activate", {"mode": "retired"})
    for answer in answers:
        made = await caller.ok("POST", f"/v1/decisions/{answer['id']}/replay", {})
        assert (made["same"], made["recorded"]) == (True, None), made
        assert made["answer"]["decision"] == answer["decision"]
        assert made["answer"]["reasons"] == answer["reasons"]
        story = await caller.ok("GET", f"/v1/decisions/{answer['id']}")
        assert (made["answer"], made["risk"]) == (story["answer"], story["risk"])
    assert (await caller.send("POST", "/v1/decisions/dec_none/replay", {}))[0] == 404


async def test_a_record_that_lies_is_not_the_same(
    caller: Caller, org: str, gateway: Gateway
) -> None:
    await in_force(caller, BOOK)
    answers = await varied(caller, org)
    await caller.ok("GET", f"/v1/decisions/{answers[-1]['id']}")
    engine = open_engine(f"sqlite:///{gateway.directory / 'ledger.db'}")
    lines = await History(engine).lines(0, 100_000)
    await engine.dispose()
    book = Cited(Phased(load(BOOK)))
    other = Cited(Phased(load(rules(rule("any", "block", "amount > 0 USD")))))
    seen = dict.fromkeys(("same", "poor", "rules", "full", "told"), 0)
    for line in lines:
        if line.kind != "authorize":
            continue
        out, asked = records.decode(line)
        assert isinstance(out, Outcome) and isinstance(asked, RequestRecord)
        if asked.terms.org != org:
            continue
        seen["same"] += replayed(asked, out, book, ()).is_same
        poor = replace(out, funds=[0 for _ in out.funds])
        seen["poor"] += not replayed(asked, poor, book, ()).is_same
        seen["rules"] += not replayed(asked, out, other, ()).is_same
        full = replace(out, readings=[10**12 for _ in out.readings])
        seen["full"] += not replayed(asked, full, book, ()).is_same
        told = replace(out, allowed=not out.allowed)
        seen["told"] += not replayed(asked, told, book, ()).is_same
    assert seen["same"] == seen["told"] == len(answers), seen
    assert min(seen.values()) >= 5, seen
