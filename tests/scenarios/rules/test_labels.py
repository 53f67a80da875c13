"""Labels say what decisions turned out to be: kept once, never altered, and rehearsed against."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.gateways import Caller
from tests.scenarios.rules.rulebook import LARGE, USD, cents, submit


async def labelled(caller: Caller, decision: str, label: str, **more: Any) -> Any:
    body = {"decision": decision, "label": label, **more}
    return await caller.ok("POST", "/v1/labels", body)


def code(problem: Any) -> str:
    return str(problem["type"]).rpartition(":")[2]


async def test_the_last_label_holds_and_all_are_told(caller: Caller, org: str) -> None:
    decision = (await caller.authorize(org, **cents(1)))["id"]
    before = await caller.ok("GET", f"/v1/decisions/{decision}")
    assert before["labels"] == []
    first = await labelled(caller, decision, "fraud")
    await labelled(caller, decision, "good")
    story = await caller.ok("GET", f"/v1/decisions/{decision}")
    assert [label["label"] for label in story["labels"]] == ["fraud", "good"]
    assert story["labels"][0] == first
    assert {**story, "labels": []} == before, "nothing of the decision changes with its labels"


async def test_a_call_that_comes_again_labels_once(caller: Caller, org: str) -> None:
    decision = (await caller.authorize(org, **cents(1)))["id"]
    body = {"decision": decision, "label": "fraud"}
    told = await asyncio.gather(
        *(caller.send("POST", "/v1/labels", body, f"label-{org}") for _ in range(8))
    )
    assert [status for status, _, _ in told] == [200] * 8
    assert all(answer == told[0][1] for _, answer, _ in told)
    other = {**body, "label": "good"}
    status, problem, _ = await caller.send("POST", "/v1/labels", other, f"label-{org}")
    assert (status, code(problem)) == (422, "idempotency_key_reused")
    story = await caller.ok("GET", f"/v1/decisions/{decision}")
    assert [label["label"] for label in story["labels"]] == ["fraud"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"decision": "dec_nothing"}, 404),
        ({"decision": "nothing"}, 422),
        ({"label": "odd"}, 422),
        ({"observed_at": "2020-01-01T00:00:00Z"}, 422),
        ({"observed_at": (datetime.now(UTC) + timedelta(days=2)).isoformat()}, 422),
        ({"observed_at": "2020-01-01T00:00:00"}, 422),
    ],
)
async def test_a_label_that_cannot_be_is_refused(
    caller: Caller, org: str, change: dict[str, str], status: int
) -> None:
    decision = (await caller.authorize(org, **cents(1)))["id"]
    body = {"decision": decision, "label": "fraud", **change}
    assert (await caller.send("POST", "/v1/labels", body))[0] == status
    assert (await caller.ok("GET", f"/v1/decisions/{decision}"))["labels"] == []


async def test_an_extend_is_labelled_by_the_decision_that_made_the_hold(
    caller: Caller, org: str
) -> None:
    hold = (await caller.authorize(org, **cents(1)))["hold"]["id"]
    more = await caller.ok("POST", f"/v1/holds/{hold}/extend", cents(1))
    body = {"decision": more["id"], "label": "fraud"}
    status, problem, _ = await caller.send("POST", "/v1/labels", body)
    assert (status, problem["errors"][0]["pointer"]) == (422, "/decision")


async def test_a_credential_of_one_org_labels_no_other(caller: Caller, org: str) -> None:
    decision = (await caller.authorize(org, **cents(1)))["id"]
    body = {"name": "theirs", "scopes": ["risk"], "org": "somebody-else"}
    secret = (await caller.ok("POST", "/v1/credentials", body))["secret"]
    async with Caller(caller.address, secret) as other:
        body = {"decision": decision, "label": "fraud"}
        assert (await other.send("POST", "/v1/labels", body))[0] == 404


async def test_a_backtest_tells_what_fraud_it_catches_and_what_good_it_stops(
    caller: Caller, org: str
) -> None:
    since = datetime.now(UTC).isoformat()
    counts = {600: "fraud", 601: "good", 602: "", 3: "fraud", 4: "good"}
    for count, label in counts.items():
        decision = (await caller.authorize(org, **cents(count)))["id"]
        if label:
            # Whoever changes their mind counts once, with what holds.
            await labelled(caller, decision, "good" if label == "fraud" else "fraud")
            await labelled(caller, decision, label)
    ruleset = await submit(caller, LARGE)
    found = await caller.ok("POST", f"/v1/rulesets/{ruleset}/backtest", {"from": since})
    assert (found["requests"], found["stopped"], found["fraud"]) == (5, 3, 2)
    assert (found["fraud_stopped"], found["fraud_stopped_micros"]) == (1, 6 * USD)
    assert (found["good_stopped"], found["good_stopped_micros"]) == (1, 6 * USD + USD // 100)
    (hits,) = found["rules"]
    assert (hits["requests"], hits["fraud"], hits["good"]) == (3, 1, 1)
