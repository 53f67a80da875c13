"""What happens outside requests: told once, counted when it happened, read by rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.gateways import Caller
from tests.scenarios.rules.rulebook import booked, cents, in_force, rule, rules
from tests.scenarios.rules.test_tallies import tallies

# So wide that no test sees one of its ends; and one that ended.
DECLINES = 'velocity.events("payment_declined", by "user", 80d)'
FROM_HERE = 'velocity.events("payment_declined", by "device", 80d)'
LATELY = 'velocity.events("payment_declined", by "user", 2h)'


async def declined(caller: Caller, org: str, key: str | None = None, **more: Any) -> Any:
    subject = {"org": org, "user": "u_1"}
    context = {"device": f"device-{org}"}
    body = {"type": "payment_declined", "subject": subject, "context": context, **more}
    return await caller.ok("POST", "/v1/events", body, key)


async def test_events_count_for_whoever_they_were_told_of(caller: Caller, org: str) -> None:
    await declined(caller, org)
    await in_force(
        caller,
        rules(
            rule("declined", "block", f"{DECLINES} >= 3"),
            rule("here", "review", f"{FROM_HERE} > 9"),
        ),
    )
    first = await declined(caller, org, "once", amount_micros=5)
    assert await declined(caller, org, "once", amount_micros=5) == first
    context = {"device": f"device-{org}"}
    told = await caller.authorize(org, user="u_1", context=context, **cents(1))
    assert (told["decision"], await tallies(caller, told)) == ("allow", {DECLINES: 2, FROM_HERE: 2})
    await declined(caller, org)
    assert (await caller.authorize(org, user="u_1", **cents(1)))["decision"] == "deny"
    assert (await caller.authorize(org, user="u_2", **cents(1)))["decision"] == "allow"
    other = await caller.authorize(f"free-{org}", context=context, **cents(1))
    assert await tallies(caller, other) == {FROM_HERE: 3}
    assert (await caller.ok("GET", "/v1/ledger/reconcile"))["ok"]


async def test_what_happened_before_the_window_counts_no_more(caller: Caller, org: str) -> None:
    await in_force(caller, rules(rule("declined", "block", f"{LATELY} >= 1")))
    for hours in (7, 30 * 24):
        await declined(caller, org, at=(datetime.now(UTC) - timedelta(hours=hours)).isoformat())
    told = await caller.authorize(org, user="u_1", **cents(1))
    assert (told["decision"], await tallies(caller, told)) == ("allow", {LATELY: 0})


async def test_an_event_moves_no_money_and_makes_no_account(caller: Caller, org: str) -> None:
    await booked(caller)
    before = await caller.ok("GET", "/v1/ledger/trial_balance")
    told = await declined(caller, f"nobody-{org}", amount_micros=7_000_000)
    assert told["id"].startswith("evt_") and told["type"] == "payment_declined"
    await booked(caller)
    assert await caller.ok("GET", "/v1/ledger/trial_balance") == before
    status, _, _ = await caller.send("GET", f"/v1/orgs/nobody-{org}")
    assert status == 404


async def test_what_an_org_tells_counts_for_no_other(caller: Caller, org: str) -> None:
    both = [rule("own", "review", f"{DECLINES} > 99"), rule("here", "review", f"{FROM_HERE} > 99")]
    await in_force(caller, rules(*both))
    body = {"name": "own", "scopes": ["risk"], "org": org}
    secret = (await caller.ok("POST", "/v1/credentials", body))["secret"]
    told = {
        "type": "payment_declined",
        "subject": {"org": org, "user": "u_1"},
        "context": {"device": f"device-{org}"},
    }
    headers = {"Authorization": f"Bearer {secret}"}
    assert (await caller.send("POST", "/v1/events", told, **headers))[0] == 200
    elsewhere = {**told, "subject": {"org": f"other-{org}"}}
    assert (await caller.send("POST", "/v1/events", elsewhere, **headers))[0] == 404
    context = {"device": f"device-{org}"}
    answer = await caller.authorize(org, user="u_1", context=context, **cents(1))
    assert await tallies(caller, answer) == {DECLINES: 1, FROM_HERE: 0}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"type": "weather"}, "/type"),
        ({"at": "2999-01-01T00:00:00Z"}, "/at"),
        ({"amount_micros": -1}, "/amount_micros"),
        ({"context": {"ip": "nowhere"}}, "/context/ip"),
    ],
)
async def test_an_event_that_cannot_be_is_refused(
    caller: Caller, org: str, body: dict[str, Any], pointer: str
) -> None:
    whole = {"type": "login", "subject": {"org": org}, **body}
    status, problem, _ = await caller.send("POST", "/v1/events", whole)
    assert (status, problem["errors"][0]["pointer"]) == (422, pointer)
