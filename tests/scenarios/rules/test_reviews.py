"""Decisions wait for a person who looks, and what rules match is told as it happens."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.kills import kill
from tests.gateways import ADMIN_KEY, Caller, Gateway, running
from tests.scenarios.rules.rulebook import CENT, USD, cents, gathered, in_force, rule, rules, submit

LOOK = rules(
    rule("odd", "review", "context.asn == 7"),
    rule("often", "review", 'velocity.count("user", 1h) > 2'),
    rule("large", "block", "amount > 5 USD"),
)


async def waiting(caller: Caller, org: str) -> dict[str, list[str]]:
    """By decision, the rules that sent it into the queue."""
    found, cursor = {}, ""
    while True:
        page = await caller.ok("GET", f"/v1/reviews?limit=2{cursor}")
        found |= {one["decision"]: one["rules"] for one in page["reviews"] if one["org"] == org}
        if page["cursor"] is None:
            return found
        cursor = f"&cursor={page['cursor']}"


async def asked(caller: Caller, org: str) -> list[Any]:
    """Six requests: one that is odd, three that come often, one of them too large."""
    counts = [(1, {"asn": 7}), (1, {}), (1, {}), (1, {}), (1, {}), (600, {})]
    return [
        await caller.authorize(org, user="u", **cents(count, context=context))
        for count, context in counts
    ]


async def test_a_review_waits_until_somebody_says_what_it_was(caller: Caller, org: str) -> None:
    ruleset = await in_force(caller, LOOK)
    answers = await asked(caller, org)
    assert [answer["risk"]["review"] for answer in answers] == [
        True,
        *[False] * 2,
        *[True] * 2,
        False,
    ]
    await gathered(caller, ruleset)
    odd, first, second = (answers[n]["id"] for n in (0, 3, 4))
    assert await waiting(caller, org) == {odd: ["odd"], first: ["often"], second: ["often"]}

    ended = await caller.ok("POST", f"/v1/reviews/{odd}", {"label": "fraud"})
    assert await caller.ok("POST", f"/v1/reviews/{odd}", {"label": "fraud"}) == ended
    await caller.ok("POST", "/v1/labels", {"decision": first, "label": "good"})
    assert list(await waiting(caller, org)) == [second]

    status, problem, _ = await caller.send("POST", f"/v1/reviews/{odd}", {"label": "good"})
    assert (status, problem["type"].rpartition(":")[2]) == (409, "already_reviewed")
    for other in (answers[1]["id"], answers[5]["id"], "dec_none"):
        status, _, _ = await caller.send("POST", f"/v1/reviews/{other}", {"label": "good"})
        assert status == 404
    story = await caller.ok("GET", f"/v1/decisions/{odd}")
    assert [label["label"] for label in story["labels"]] == ["fraud"]


async def test_of_two_who_end_a_review_one_is_heard(caller: Caller, org: str) -> None:
    await in_force(caller, LOOK)
    decision = (await caller.authorize(org, **cents(1, context={"asn": 7})))["id"]
    told = await asyncio.gather(
        *(
            caller.send("POST", f"/v1/reviews/{decision}", {"label": ("fraud", "good")[n % 2]})
            for n in range(8)
        )
    )
    assert sorted(status for status, _, _ in told) == [200] * 4 + [409] * 4
    assert len((await caller.ok("GET", f"/v1/decisions/{decision}"))["labels"]) == 1


async def test_a_report_tells_today_up_to_now(caller: Caller, org: str, gateway: Gateway) -> None:
    ruleset = await in_force(caller, LOOK.replace("says so", "says so here"))
    spree = rules(rule("often", "block", 'velocity.count("user", 1h) > 0'))
    shadow = await in_force(caller, spree, "shadow")
    answers = await asked(caller, org)
    assert await asyncio.to_thread(kill, gateway, "background"), "it goes on where it was"
    answers += await asked(caller, await caller.org(f"{org}-other", 100 * USD))
    await gathered(caller, ruleset)
    await caller.ok("POST", "/v1/labels", {"decision": answers[5]["id"], "label": "good"})
    found = await caller.ok("GET", f"/v1/rulesets/{ruleset}/report")
    told = {(one["rule"], one["requests"], one["good"]) for one in found["rules"]}
    allowed = [answer for answer in answers if answer["decision"] == "allow"]
    assert found["requests"]["active"] == len([a for a in answers if a["risk"]["ruleset"]])
    large = sum(a["risk"]["rules"] == ["large"] for a in answers)
    often = sum("often" in a["risk"]["rules"] for a in allowed)
    odd = sum("odd" in a["risk"]["rules"] for a in allowed)
    assert told == {("large", large, 1), ("often", often, 0), ("odd", odd, 0)}
    (share,) = (one["share"] for one in found["rules"] if one["rule"] == "odd")
    assert share == pytest.approx(odd / found["requests"]["active"], abs=1e-6)
    (by,) = (await caller.ok("GET", f"/v1/rulesets/{shadow}/report"))["rules"]
    assert (by["rule"], by["mode"], by["requests"]) == ("often", "shadow", 10)
    assert by["amount_micros"]["USD"] == (8 + 1_200) * CENT
    before = await caller.ok("GET", f"/v1/rulesets/{ruleset}/report?from=2026-01-01&to=2026-01-02")
    assert (before["requests"], before["rules"]) == ({}, [])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", "rules", "report", ruleset,
        env={**os.environ, "SPENDGATE_URL": gateway.address, "SPENDGATE_KEY": ADMIN_KEY},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    lines, _ = await process.communicate()
    assert f"large (active): {large} requests" in lines.decode()


async def test_nothing_is_written_for_rules_until_some_are_in_force(tmp_path: Path) -> None:
    def kept_to() -> int:
        with closing(sqlite3.connect(f"file:{tmp_path / 'catalog.db'}?mode=ro", uri=True)) as c:
            return int(c.execute("SELECT row FROM matches_state").fetchone()[0])

    with running(tmp_path) as gateway:
        async with Caller(gateway.address) as caller:
            await caller.prices()
            org = await caller.org("acme", 100 * USD)
            last = [(await caller.authorize(org, **cents(1)))["id"] for _ in range(5)][-1]
            await caller.ok("GET", f"/v1/decisions/{last}")
            await asyncio.sleep(1)
            assert kept_to() == 0
            draft = await submit(caller, LOOK)
            found = await caller.ok("GET", f"/v1/rulesets/{draft}/report")
            assert (found["requests"], found["behind"]) == ({}, 0)
            await in_force(caller, LOOK)
            found = await gathered(caller, draft)
            assert (found["requests"], kept_to() >= 5) == ({}, True)
            await caller.authorize(org, **cents(1))
            found = await gathered(caller, draft)
            assert found["requests"] == {"active": 1}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/reviews?limit=0",
        "/v1/reviews?limit=x",
        "/v1/reviews?limit=00000010099999",
        "/v1/reviews?cursor=1",
        "/v1/reviews?cursor=1:%00",
        "/v1/rulesets/rs_none/report?from=soon",
        "/v1/rulesets/rs_none/report?day=1",
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(caller: Caller, path: str) -> None:
    assert (await caller.send("GET", path))[0] == 422
    assert (await caller.send("GET", "/v1/rulesets/rs_none/report"))[0] == 404
