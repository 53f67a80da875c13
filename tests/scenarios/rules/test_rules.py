"""Rules decide: what they stop, what they say, how they are switched, and what switching costs."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.gateways import ADMIN_KEY, Caller, Gateway, running
from tests.scenarios.rules import alone
from tests.scenarios.rules.rulebook import (
    CENT,
    LARGE,
    USD,
    booked,
    cents,
    in_force,
    metrics,
    rule,
    rules,
    submit,
    taken_over,
)

gateway = alone.gateway


async def test_a_rule_blocks_and_says_which_and_why(caller: Caller, org: str) -> None:
    ruleset = await in_force(caller, LARGE)
    answer = await caller.authorize(org, **cents(501))
    assert answer["decision"] == "deny"
    assert answer["status_hint"] == 403
    assert answer["reasons"] == [{"code": "rule_blocked", "id": "large", "detail": "large says so"}]
    assert answer["hold"] is None
    assert answer["risk"] == {
        "score": None, "rules": ["large"], "ruleset": ruleset, "model": None, "review": False
    }  # fmt: skip
    passed = await caller.authorize(org, **cents(500))
    assert passed["decision"] == "allow"
    assert (passed["risk"]["rules"], passed["risk"]["ruleset"]) == ([], ruleset)
    balance = await caller.ok("GET", f"/v1/orgs/{org}/balance")
    assert balance["held_micros"] == 5 * USD


async def test_metrics_say_what_each_rule_matches(
    caller: Caller, org: str, gateway: Gateway
) -> None:
    text = rules(
        rule("dear", "block", "amount > 4.99 USD"), rule("odd", "review", "context.asn == 7")
    )
    ruleset, shadow = await in_force(caller, text), await in_force(caller, LARGE, "shadow")
    for count in (1, 500, 501):
        await caller.authorize(org, **cents(count))
    await gateway.counted()
    found = await metrics(caller)
    assert found[f'spendgate_rule_matches_total{{rule="dear",ruleset="{ruleset}"}}'] == 2
    assert found[f'spendgate_rule_micros_total{{rule="dear",ruleset="{ruleset}"}}'] == 1_001 * CENT
    assert found[f'spendgate_shadow_matches_total{{rule="large",ruleset="{shadow}"}}'] == 1
    assert found[f'spendgate_rules_unknown_total{{ruleset="{ruleset}"}}'] == 3


async def test_rules_see_only_what_account_price_and_money_let_pass(
    caller: Caller, org: str
) -> None:
    await in_force(caller, LARGE)
    answer = await caller.authorize(org, **cents(1_000_000))
    assert [reason["code"] for reason in answer["reasons"]] == ["insufficient_funds"]
    assert (answer["risk"]["ruleset"], answer["risk"]["rules"]) == (None, [])


async def test_a_review_lets_pass_and_an_exemption_outweighs_a_block(
    caller: Caller, org: str
) -> None:
    await in_force(
        caller,
        rules(
            rule("friend", "allow", 'user.id == "u_1"', expires_at="2099-01-01"),
            rule("large", "block", "amount > 5 USD"),
            rule("odd", "review", "context.asn == 7"),
        ),
    )
    exempt = await caller.authorize(org, user="u_1", **cents(600))
    assert (exempt["decision"], exempt["risk"]["rules"]) == ("allow", ["friend", "large"])
    assert (await caller.authorize(org, user="u_2", **cents(600)))["decision"] == "deny"
    odd = await caller.authorize(org, **cents(1, context={"asn": 7}))
    assert (odd["decision"], odd["risk"]["review"]) == ("allow", True)


async def test_a_passed_challenge_lifts_the_next_one_of_the_same_subject(
    caller: Caller, org: str
) -> None:
    await in_force(caller, rules(rule("step-up", "challenge", "amount > 5 USD")))
    asked = await caller.authorize(org, user="u_1", **cents(600))
    assert (asked["decision"], asked["hold"]) == ("challenge", None)
    assert [reason["code"] for reason in asked["reasons"]] == ["challenge_required"]
    passed = {"decision": asked["id"], "passed": True}
    again = await caller.authorize(org, user="u_1", **cents(600, challenge=passed))
    assert again["decision"] == "allow"
    other = await caller.authorize(org, user="u_2", **cents(600, challenge=passed))
    assert other["decision"] == "challenge"
    failed = {**passed, "passed": False}
    still = await caller.authorize(org, user="u_1", **cents(600, challenge=failed))
    assert still["decision"] == "challenge"
    small = await caller.authorize(org, user="u_1", **cents(1))
    unasked = {"decision": small["id"], "passed": True}
    sly = await caller.authorize(org, user="u_1", **cents(600, challenge=unasked))
    assert sly["decision"] == "challenge"


async def test_a_shadow_decides_nothing_and_is_recorded(caller: Caller, org: str) -> None:
    ruleset = await in_force(caller, LARGE, "shadow")
    answer = await caller.authorize(org, **cents(600))
    assert (answer["decision"], answer["risk"]["ruleset"]) == ("allow", None)
    told = await caller.ok("GET", f"/v1/decisions/{answer['id']}")
    assert told["risk"]["shadows"] == [{"ruleset": ruleset, "action": "block", "rules": ["large"]}]


async def test_a_share_of_traffic_is_stable_by_org(caller: Caller) -> None:
    whole = await in_force(caller, rules(rule("huge", "block", "amount > 900 USD")))
    part = await in_force(caller, LARGE, percent=30)
    seen: dict[str, set[str]] = {}
    for _ in range(2):
        for number in range(60):
            answer = await caller.authorize(f"free-{number}", **cents(1))
            seen.setdefault(f"free-{number}", set()).add(answer["risk"]["ruleset"])
    assert all(len(found) == 1 for found in seen.values())
    shares = Counter(next(iter(found)) for found in seen.values())
    assert set(shares) == {whole, part}
    assert 5 <= shares[part] <= 35


async def test_a_repeated_call_gets_its_first_verdict(caller: Caller, org: str) -> None:
    await in_force(caller, LARGE)
    first = await caller.authorize(org, idempotency_key="k1", **cents(600))
    await in_force(caller, rules(rule("nothing", "block", "amount > 900 USD")))
    assert await caller.authorize(org, idempotency_key="k1", **cents(600)) == first
    assert (await caller.authorize(org, **cents(600)))["decision"] == "allow"


async def test_r5_switching_rules_overspends_nothing_and_each_decision_cites_one(
    caller: Caller,
) -> None:
    await caller.org("spender", 10 * USD)
    sets = [
        await submit(caller, rules(rule("a", "review", "amount > 1 USD"))),
        await submit(caller, rules(rule("b", "review", "amount > 0.02 USD"))),
    ]
    matches = {sets[0]: [], sets[1]: ["b"], None: []}

    async def switch() -> None:
        for number in range(6):
            body = {"mode": "active", "force": True, "note": "a test"}
            await caller.ok("POST", f"/v1/rulesets/{sets[number % 2]}/activate", body)
            await asyncio.sleep(0.5)

    async def call(number: int) -> Any:
        await asyncio.sleep(number / 200)
        return await caller.authorize("spender", **cents(3))

    switching = asyncio.create_task(switch())
    answers = await asyncio.gather(*(call(number) for number in range(500)))
    await switching
    allowed = [answer for answer in answers if answer["decision"] == "allow"]
    assert len(allowed) == 333
    for answer in answers:
        risk = answer["risk"]
        assert risk["rules"] == matches[risk["ruleset"]]
    assert {answer["risk"]["ruleset"] for answer in allowed} >= set(sets)
    assert (await caller.ok("GET", "/v1/ledger/reconcile"))["ok"]


async def test_r8_a_bad_rule_is_refused_where_it_is_wrong(caller: Caller) -> None:
    text = rules(rule("bad", "block", "amout > 5 USD"))
    status, problem, _ = await caller.send("POST", "/v1/rulesets", {"text": text})
    assert status == 422
    assert problem["type"].endswith("invalid_rule")
    (error,) = problem["errors"]
    assert (error["line"], error["column"]) == (4, 12)
    assert "did you mean amount?" in error["detail"]


async def test_r8_what_would_stop_too_much_needs_force_and_a_note(caller: Caller, org: str) -> None:
    for _ in range(20):
        await caller.authorize(org, **cents(1))
    everything = await submit(caller, rules(rule("all", "block", "amount > 0 USD")))
    await booked(caller)
    path = f"/v1/rulesets/{everything}/activate"
    status, problem, _ = await caller.send("POST", path, {"mode": "active"})
    assert (status, problem["type"].rpartition(":")[2]) == (409, "blast_radius")
    assert re.search(r"would stop (\d+) of \1, and ([\d.,]+) of \2: more", problem["detail"])
    status, _, _ = await caller.send("POST", path, {"mode": "active", "force": True})
    assert status == 422
    await caller.ok("POST", path, {"mode": "active", "force": True, "note": "an attack"})
    await taken_over(caller)
    assert (await caller.authorize(org, **cents(1)))["decision"] == "deny"
    began = time.monotonic()
    await caller.ok("POST", "/v1/rulesets/rollback", {})
    while any(
        answer["decision"] == "deny"
        for answer in [await caller.authorize(org, **cents(1)) for _ in range(8)]
    ):
        assert time.monotonic() - began < 5
    assert (await caller.ok("GET", "/v1/rulesets"))["rulesets"][0]["mode"] == "retired"


async def test_rolling_back_twice_under_one_key_goes_one_step_back(caller: Caller) -> None:
    first = await in_force(caller, rules(rule("a", "review", "amount > 1 USD")))
    second = await in_force(caller, rules(rule("b", "review", "amount > 1 USD")))
    await in_force(caller, rules(rule("c", "review", "amount > 1 USD")))
    for _ in range(2):
        now = await caller.ok("POST", "/v1/rulesets/rollback", {}, "oops")
        assert now["active"] == [{"ruleset": second, "percent": 100}]
    now = await caller.ok("POST", "/v1/rulesets/rollback", {}, "again")
    assert now["active"] == [{"ruleset": first, "percent": 100}]


async def test_the_command_line_tries_activates_and_goes_back(
    gateway: Gateway, caller: Caller, org: str, tmp_path: Path
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(LARGE)
    await caller.authorize(org, **cents(600))
    await booked(caller)

    async def run(*arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.cli", "rules", *arguments,
            env={**os.environ, "SPENDGATE_URL": gateway.address, "SPENDGATE_KEY": ADMIN_KEY},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        told, _ = await process.communicate()
        return process.returncode or 0, told.decode()

    code, told = await run("backtest", str(file))
    assert code == 0
    assert "large:" in told
    code, told = await run("submit", str(file))
    ruleset = told.strip()
    assert (code, ruleset.startswith("rs_")) == (0, True)
    code, told = await run("activate", ruleset)
    assert (code, "409" in told) == (2, True), told
    code, told = await run("activate", ruleset, "--force", "--note", "a test")
    assert (code, f"active {ruleset} 100 %" in told) == (0, True), told
    code, told = await run("rollback")
    assert (code, ruleset in told) == (0, False), told
    code, told = await run("activate", "rs_none", "--mode", "shadow")
    assert (code, "404" in told) == (2, True), told


async def test_an_odd_idempotency_key_rolls_back_all_the_same(
    caller: Caller, gateway: Gateway
) -> None:
    await in_force(caller, LARGE)
    address = urlsplit(gateway.address)
    # As bytes: a client that means well would not send them.
    request = (
        b"POST /v1/rulesets/rollback HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Authorization: Bearer " + ADMIN_KEY.encode() + b"\r\nIdempotency-Key: odd-\xff\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    for _ in range(2):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"active":[]' in answer


async def test_a_backtest_leaves_out_what_money_refuses(caller: Caller) -> None:
    poor = await caller.org(f"poor-{secrets.token_hex(4)}", USD)
    since = datetime.now(UTC).isoformat()
    ruleset = await in_force(caller, LARGE)
    answer = await caller.authorize(poor, **cents(600))
    assert [reason["code"] for reason in answer["reasons"]] == ["insufficient_funds"]
    assert (await caller.authorize(poor, **cents(1)))["decision"] == "allow"
    await booked(caller)
    found = await caller.ok("POST", f"/v1/rulesets/{ruleset}/backtest", {"from": since})
    assert (found["requests"], found["stopped"]) == (1, 0)


async def test_a_second_person_activates_where_that_is_asked_for(tmp_path: Path) -> None:
    with running(tmp_path, rules_two_people=1) as gateway:
        async with Caller(gateway.address) as author:
            body = {"name": "second", "scopes": ["risk"]}
            second = (await author.ok("POST", "/v1/credentials", body))["secret"]
            path = f"/v1/rulesets/{await submit(author, LARGE)}/activate"
            status, problem, _ = await author.send("POST", path, {"mode": "active"})
            assert (status, problem["type"].rpartition(":")[2]) == (403, "second_person_needed")
            await author.ok("POST", path, {"mode": "shadow"})
            async with Caller(gateway.address, second) as other:
                await other.ok("POST", path, {"mode": "active"})
            changes = (await author.ok("GET", "/v1/rulesets"))["changes"]
    assert [(change["mode"], change["n"]) for change in changes] == [("shadow", 1), ("active", 2)]
    assert changes[0]["author"] != changes[1]["author"]


async def test_a_backtest_says_what_was_decided(caller: Caller, org: str) -> None:
    text = rules(
        rule("large", "block", "amount > 5 USD"),
        rule("odd", "review", "context.asn == 7 || tokens > 5"),
        rule("idle", "review", "amount > 900 USD"),
    )
    since = datetime.now(UTC).isoformat()
    ruleset = await in_force(caller, text)
    for number in range(40):
        context = {"asn": 7} if number % 4 == 0 else {}
        await caller.authorize(org, **cents(600 if number % 10 == 0 else 1, context=context))
    await booked(caller)
    found = await caller.ok("POST", f"/v1/rulesets/{ruleset}/backtest", {"from": since})
    assert (found["requests"], found["same"], found["differs"]) == (40, 40, 0)
    assert (found["stopped"], found["stopped_micros"]) == (4, 24 * USD)
    hits = {hit["rule"]: (hit["requests"], hit["alone"]) for hit in found["rules"]}
    assert hits == {"large": (4, 2), "odd": (10, 8), "idle": (0, 0)}


async def test_no_more_than_eight_stand_however_many_come_at_once(caller: Caller) -> None:
    texts = [rules(rule(f"r{n}", "review", f"amount > {n + 1} USD")) for n in range(12)]
    made = [await submit(caller, text) for text in texts]
    body = {"mode": "shadow"}
    sent = (caller.send("POST", f"/v1/rulesets/{name}/activate", body) for name in made)
    codes = Counter(status for status, _, _ in await asyncio.gather(*sent))
    assert codes == {200: 8, 409: 4}
    standing = (await caller.ok("GET", "/v1/rulesets"))["rulesets"]
    assert sum(one["mode"] == "shadow" for one in standing) == 8


async def test_a_call_that_is_repeated_undoes_nothing_that_came_later(caller: Caller) -> None:
    texts = [rules(rule(f"once-{n}", "block", f"amount > {90 + n} USD")) for n in (1, 2)]
    first, later = [await submit(caller, text) for text in texts]
    body = {"mode": "active", "force": True, "note": "a test"}
    told = await caller.ok("POST", f"/v1/rulesets/{first}/activate", body, "key-1")
    await caller.ok("POST", f"/v1/rulesets/{later}/activate", body, "key-2")
    status, again, headers = await caller.send(
        "POST", f"/v1/rulesets/{first}/activate", body, "key-1"
    )
    assert (status, again, headers["Idempotent-Replayed"]) == (200, told, "true")
    modes = {one["id"]: one["mode"] for one in (await caller.ok("GET", "/v1/rulesets"))["rulesets"]}
    assert (modes[first], modes[later]) == ("retired", "active")
    other = {"mode": "retired"}
    status, problem, _ = await caller.send("POST", f"/v1/rulesets/{first}/activate", other, "key-1")
    assert (status, problem["type"]) == (422, "urn:spendgate:problem:idempotency_key_reused")


async def test_a_persons_note_never_passes_for_a_rollback(caller: Caller) -> None:
    names = [await submit(caller, rules(rule(f"by-hand-{n}", "block", f"amount > {60 + n} USD")))
             for n in range(3)]  # fmt: skip
    for name in names:
        body = {"mode": "active", "force": True, "note": "rolled back by hand"}
        await caller.ok("POST", f"/v1/rulesets/{name}/activate", body)
    for expected in (names[1], names[0]):
        answer = await caller.ok("POST", "/v1/rulesets/rollback", {})
        assert [one["ruleset"] for one in answer["active"]] == [expected]


async def test_one_rollback_that_many_send_at_once_goes_one_step(caller: Caller) -> None:
    for n in range(3):
        await in_force(caller, rules(rule(f"step-{n}", "block", f"amount > {80 + n} USD")))
    before = (await caller.ok("GET", "/v1/rulesets"))["rulesets"]
    (last,) = (one["id"] for one in before if one["mode"] == "active")
    sent = (caller.send("POST", "/v1/rulesets/rollback", {}, "rush") for _ in range(10))
    answers = await asyncio.gather(*sent)
    assert {status for status, _, _ in answers} == {200}
    (back,) = {answer["active"][0]["ruleset"] for _, answer, _ in answers}
    story = (await caller.ok("GET", "/v1/rulesets"))["changes"]
    steps = [change["ruleset"] for change in story if change["note"].startswith("rolled back")]
    assert back != last and steps[-2:] == [back, last]


async def test_one_call_that_comes_often_at_once_makes_one_change(caller: Caller) -> None:
    name = await submit(caller, rules(rule("often", "block", "amount > 70 USD")))
    body = {"mode": "active", "force": True, "note": "a test"}
    path = f"/v1/rulesets/{name}/activate"
    sent = (caller.send("POST", path, body, "rush-1") for _ in range(8))
    answers = await asyncio.gather(*sent)
    assert {status for status, _, _ in answers} == {200}
    assert len({str(answer) for _, answer, _ in answers}) == 1
    story = (await caller.ok("GET", "/v1/rulesets"))["changes"]
    assert sum(change["ruleset"] == name for change in story) == 1
