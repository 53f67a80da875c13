"""A model scores what account, price and money let pass; what it stops is given back."""

from __future__ import annotations

import asyncio
import math
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.catalog.labels import Labels
from gateway.catalog.lists import Lists
from gateway.catalog.models import Models
from gateway.catalog.policy_log import RuleSets
from gateway.flows.operations.drift_monitor import Drift
from gateway.flows.risk.policies import Rules
from gateway.ledger.history import History
from gateway.sql.engine import open_engine
from tests.gateways import Caller, Gateway
from tests.scenarios.models.making import BY_AMOUNT, NAMES, USD, in_force, model, stump, submit
from tests.scenarios.rules import rulebook
from tests.scenarios.rules.rulebook import CENT, booked, cents, rule, rules
from tests.scenarios.steps import eventually

NOT_SCORED = {"score": None, "model": None, "rules": [], "ruleset": None, "review": False}


def odds(raw: float) -> float:
    return 1 / (1 + math.exp(-raw))


async def test_without_a_model_nothing_is_scored(caller: Caller, org: str) -> None:
    answer = await caller.authorize(org, **cents(1))
    assert (answer["risk"], answer["degraded"]) == (NOT_SCORED, False)


async def test_a_score_is_told_and_from_its_thresholds_on_something_is_done(
    caller: Caller, org: str
) -> None:
    name = await in_force(caller, BY_AMOUNT)
    small, middle, large = [await caller.authorize(org, **cents(n)) for n in (100, 200, 400)]
    assert small["risk"] == {**NOT_SCORED, "score": odds(-4.0), "model": name}
    assert middle["risk"]["score"] == odds(0.1)
    assert (middle["decision"], middle["risk"]["review"]) == ("allow", True)
    assert (large["decision"], large["status_hint"], large["hold"]) == ("deny", 403, None)
    (reason,) = large["reasons"]
    assert (reason["code"], reason["id"]) == ("risk_too_high", name)
    assert reason["detail"] == "this request looks unlike what is usual here"
    await booked(caller)
    story = await caller.ok("GET", f"/v1/decisions/{large['id']}")
    assert story["scoring"]["thresholds"]["block"] == 0.9
    assert story["scoring"]["reasons"] == ["amount"]
    balance = await caller.ok("GET", f"/v1/orgs/{org}/balance")
    assert balance["held_micros"] == 300 * CENT
    again = await caller.authorize(org, capture=True, **cents(400))
    assert again["decision"] == "deny"
    assert (await caller.authorize(org, capture=True, **cents(100)))["decision"] == "allow"
    dry = await caller.authorize(org, dry_run=True, **cents(400))
    assert [r["code"] for r in dry["reasons"]] == ["risk_too_high"]


async def test_a_challenger_says_nothing(caller: Caller, org: str) -> None:
    await in_force(caller, BY_AMOUNT, "shadow")
    answer = await caller.authorize(org, **cents(400))
    assert (answer["decision"], answer["risk"]) == ("allow", NOT_SCORED)


async def test_a_decision_tells_the_exact_vector_and_what_each_feature_contributed(
    caller: Caller, org: str
) -> None:
    name = await in_force(caller, BY_AMOUNT)
    answer = await caller.authorize(org, key="k_1", context={"country": "de"}, **cents(400))
    told = await caller.ok("GET", f"/v1/decisions/{answer['id']}")
    scoring = told["scoring"]
    assert (scoring["model"], scoring["score"]) == (name, answer["risk"]["score"])
    assert set(scoring["features"]) == set(NAMES)
    assert scoring["features"]["amount"] == 400.0 * CENT
    assert scoring["features"]["key_count_1m"] == 0.0
    assert scoring["features"]["ip_count_1m"] is None
    assert scoring["thresholds"] == {"block": 0.9, "review": 0.5}
    whole = scoring["expected"] + sum(scoring["contributions"].values())
    assert math.isclose(whole, 5.1)
    assert next(iter(scoring["contributions"])) == "amount"
    replayed = await caller.ok("POST", f"/v1/decisions/{answer['id']}/replay", {})
    assert replayed["same"] and replayed["answer"]["risk"] == answer["risk"]
    listed = await caller.ok("GET", f"/v1/decisions?org={org}&reason=risk_too_high")
    assert [one["id"] for one in listed["decisions"]] == [answer["id"]]


async def test_what_a_score_wants_looked_at_is_up_for_review(caller: Caller, org: str) -> None:
    await in_force(caller, BY_AMOUNT)
    answer = await caller.authorize(org, **cents(200))

    async def is_waiting() -> bool:
        waiting = (await caller.ok("GET", "/v1/reviews?limit=100"))["reviews"]
        return answer["id"] in [one["decision"] for one in waiting]

    await eventually(is_waiting, True)
    await caller.ok("POST", f"/v1/reviews/{answer['id']}", {"label": "good"})
    told = await caller.ok("GET", f"/v1/decisions/{answer['id']}")
    assert [label["label"] for label in told["labels"]] == ["good"]


async def test_a_repeated_call_gets_its_first_answer_whatever_scores_by_then(
    caller: Caller, org: str
) -> None:
    await in_force(caller, BY_AMOUNT)
    first = [
        await caller.authorize(org, idempotency_key=f"{org}-{n}", **cents(n)) for n in (9, 400)
    ]
    await in_force(caller, model(stump("amount", 0.0, 9.0, 9.0, missing_left=True)))
    again = [
        await caller.authorize(org, idempotency_key=f"{org}-{n}", **cents(n)) for n in (9, 400)
    ]
    assert again == first
    assert (await caller.authorize(org, **cents(9)))["decision"] == "deny"


async def test_a_passed_check_lifts_a_challenge_that_a_score_asked_for(
    caller: Caller, org: str
) -> None:
    await in_force(caller, BY_AMOUNT, thresholds={"challenge": 0.9})
    asked = await caller.authorize(org, user="u_1", **cents(400))
    assert (asked["decision"], asked["reasons"][0]["code"]) == ("challenge", "challenge_required")
    passed = {"decision": asked["id"], "passed": True}
    lifted = await caller.authorize(org, user="u_1", challenge=passed, **cents(400))
    assert lifted["decision"] == "allow"
    other = await caller.authorize(org, user="u_2", challenge=passed, **cents(400))
    assert other["decision"] == "challenge"


async def test_whoever_is_exempt_is_exempt_from_scores_and_rules_decide_beside_them(
    caller: Caller, org: str
) -> None:
    await in_force(caller, BY_AMOUNT)
    exempt = rule("known", "allow", f'org.id == "{org}"', expires_at="2099-01-01T00:00:00Z")
    await rulebook.in_force(caller, rules(exempt))
    allowed = await caller.authorize(org, **cents(400))
    assert (allowed["decision"], allowed["risk"]["score"]) == ("allow", odds(5.1))
    assert allowed["risk"]["rules"] == ["known", "@score"]
    blocks = rules(rule("tiny", "block", "amount < 0.50 USD"))
    await rulebook.in_force(caller, blocks)
    tiny = await caller.authorize(org, **cents(20))
    assert [r["code"] for r in tiny["reasons"]] == ["rule_blocked"]
    assert tiny["risk"]["score"] == odds(-4.0)


async def test_what_a_model_reads_is_counted_and_warm_before_it_scores(
    caller: Caller, org: str
) -> None:
    network = {"asn": 64_501, "ip": "198.51.100.7"}
    for _ in range(3):
        await caller.authorize(org, key="k_1", context=network, **cents(1))
    await in_force(caller, model(stump("new_asn", 0.5, -3.0, 3.0, missing_left=True)))
    known = await caller.authorize(org, key="k_1", context=network, **cents(1))
    assert known["risk"]["score"] == odds(-3.0)
    new = await caller.authorize(org, key="k_1", context=network | {"asn": 64_502}, **cents(1))
    assert (new["risk"]["score"], new["decision"]) == (odds(3.0), "deny")
    told = await caller.ok("GET", f"/v1/decisions/{known['id']}")
    features = told["scoring"]["features"]
    assert (features["key_asns_7d"], features["amount_vs_mean_7d"]) == (1.0, 1.0)
    assert features["ip_count_24h"] == 3.0


async def test_promoting_and_going_back_are_one_call_each(caller: Caller, org: str) -> None:
    first = await in_force(caller, BY_AMOUNT)
    second = await in_force(caller, model(thresholds={}, baseline=-1.0))
    assert (await caller.authorize(org, **cents(400)))["risk"]["model"] == second
    back = await caller.ok("POST", "/v1/models/rollback", {}, key=f"back-{org}")
    assert (back["champion"], back["thresholds"]) == (first, {"block": 0.9, "review": 0.5})
    assert await caller.ok("POST", "/v1/models/rollback", {}, key=f"back-{org}") == back
    modes = {m["id"]: m["mode"] for m in (await caller.ok("GET", "/v1/models"))["models"]}
    assert (modes[first], modes[second]) == ("active", "retired")


async def test_a_model_is_the_same_however_often_it_is_handed_in(caller: Caller) -> None:
    name = await submit(caller, BY_AMOUNT)
    assert await submit(caller, BY_AMOUNT) == name
    told = await caller.ok("GET", f"/v1/models/{name}")
    assert (told["text"], told["trees"], told["trained"]["rows"]) == (BY_AMOUNT, 2, 0)
    answer = await caller.send("GET", "/v1/models/m_none")
    assert answer[0] == 404


BAD = {
    "a corrupt file": BY_AMOUNT.replace("-4.0", "-4.5", 1),
    "half a file": BY_AMOUNT[: len(BY_AMOUNT) // 2],
    "a pickle": "cos\nsystem\n(S'true'\ntR.",
    "features that nobody counts": BY_AMOUNT.replace('"tokens"', '"shoe_size"'),
    "features in another order": BY_AMOUNT.replace('"amount","tokens"', '"tokens","amount"'),
    "not a number": BY_AMOUNT.replace("-4.0", "NaN", 1),
}


@pytest.mark.parametrize("kind", BAD)
async def test_what_is_no_model_is_refused_and_the_one_that_scores_stays(
    caller: Caller, org: str, kind: str
) -> None:
    name = await in_force(caller, BY_AMOUNT)
    status, problem, _ = await caller.send("POST", "/v1/models", {"text": BAD[kind]})
    assert (status, problem["type"].rpartition(":")[2]) == (422, "invalid_model")
    assert len(problem["detail"]) > 10
    assert (await caller.authorize(org, **cents(1)))["risk"]["model"] == name


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"mode": "shadow", "thresholds": {"block": 0.5}}, 422),
        ({"mode": "active", "thresholds": {"block": 0}}, 422),
        ({"mode": "active", "thresholds": {"block": 1.01}}, 422),
        ({"mode": "active", "thresholds": {"refuse": 0.5}}, 422),
        ({"mode": "champion"}, 422),
    ],
)
async def test_what_makes_no_sense_changes_nothing(
    caller: Caller, body: dict[str, Any], status: int
) -> None:
    name = await submit(caller, BY_AMOUNT)
    answer = await caller.send("POST", f"/v1/models/{name}/activate", body)
    assert answer[0] == status
    modes = {m["id"]: m["mode"] for m in (await caller.ok("GET", "/v1/models"))["models"]}
    assert modes[name] in ("draft", "retired")


async def test_a_report_sets_a_challenger_beside_the_one_that_scores(
    caller: Caller, org: str
) -> None:
    """On logged requests and their labels; what only the challenger reads comes from the log."""
    champion = await in_force(caller, BY_AMOUNT)
    since = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    large = [await caller.authorize(org, key="k_1", **cents(400)) for _ in range(3)]
    for _ in range(5):
        await caller.authorize(org, key="k_1", **cents(10))
    for answer in large[:2]:
        label = {"decision": answer["id"], "label": "fraud"}
        await caller.ok("POST", "/v1/labels", label)
    challenger = model(stump("week_vs_month", 0.5, -3.0, 3.0, missing_left=True))
    name = await submit(caller, challenger)
    await booked(caller)
    found = await caller.ok("GET", f"/v1/models/{name}/report?from={since}")
    assert (found["requests"], found["fraud"], found["good"]) == (8, 2, 0)
    ours, theirs = found["models"]
    assert (ours["model"], theirs["model"]) == (name, champion)
    assert theirs["reached"]["block"] == {
        "requests": 3, "amount_micros": 1200 * CENT, "fraud": 2, "good": 0,
    }  # fmt: skip
    assert sum(theirs["score_bins"]) == found["requests"] == sum(ours["score_bins"])
    assert theirs["average_precision"] == 2 / 3
    # All but an org's first request have a week and a month to be compared.
    assert ours["reached"]["block"]["requests"] == 7
    status, _, _ = await caller.send("GET", "/v1/models/m_none/report")
    assert status == 404


async def test_what_is_scored_is_counted(caller: Caller, org: str, gateway: Gateway) -> None:
    name = await in_force(caller, BY_AMOUNT)
    await caller.authorize(org, **cents(1))
    await gateway.counted()
    assert (await rulebook.metrics(caller))[f'spendgate_scored_total{{model="{name}"}}'] >= 1


async def test_going_back_twice_scores_on_warm_windows(caller: Caller, org: str) -> None:
    """What was counted no more in between is counted back before it scores again."""
    first = await in_force(caller, model(stump("new_asn", 0.5, -3.0, 3.0, missing_left=True)))
    await caller.authorize(org, key="k_1", context={"asn": 64_501}, **cents(1))
    for baseline in (-1.0, -2.0):
        await in_force(caller, model(thresholds={}, baseline=baseline))
    await caller.ok("POST", "/v1/models/rollback", {})
    back = await caller.ok("POST", "/v1/models/rollback", {})
    assert back["champion"] == first
    scored = 0
    for n in range(100):
        for asn, raw in ((64_501, -3.0), (64_600 + n, 3.0)):
            answer = await caller.authorize(org, key="k_1", context={"asn": asn}, **cents(1))
            if answer["risk"]["model"] == first:
                # Not every worker knows of it yet; whoever does has warm windows.
                assert answer["risk"]["score"] == odds(raw), asn
                scored += 1
        if scored >= 4:
            break
        await asyncio.sleep(0.1)
    assert scored >= 4


async def test_requests_unlike_the_training_ring_once_and_those_never_scored_do_not(
    caller: Caller, org: str, gateway: Gateway
) -> None:
    async def some(count: int) -> None:
        await asyncio.gather(
            *(caller.authorize(org, capture=True, **cents(1)) for _ in range(count))
        )

    await some(40)
    name = await in_force(caller, model(stump("amount", 1.0 * USD, -4.2, 4.2, missing_left=True)))
    await some(510)
    await booked(caller)
    catalog = open_engine(f"sqlite:///{gateway.directory / 'catalog.db'}")
    ledger = open_engine(f"sqlite:///{gateway.directory / 'ledger.db'}")
    told: list[str] = []
    rulesets = RuleSets(catalog)
    rules = Rules(rulesets, Models(catalog), b"", told.append)
    drift = Drift(History(ledger), rulesets, Labels(catalog), Lists(catalog), rules, told.append)
    for _ in range(2):
        await drift.step(time.time_ns() // 1_000_000)
    # Nine of ten should have scored below a half, and one above: all did below.
    assert 0.6 < drift.score < 0.8 and drift.feature == 0.0
    assert told == [f"model {name} was trained on other requests: the score {drift.score:.2f}"]
    await catalog.dispose()
    await ledger.dispose()
