"""A decision explains itself: what was asked, what it was charged, how money moved: one id."""

from __future__ import annotations

from typing import Any

from tests.gateways import Caller, Gateway
from tests.scenarios.steps import CENT, cap


async def story(caller: Caller, decision: str) -> Any:
    return await caller.ok("GET", f"/v1/decisions/{decision}")


def moved(told: Any) -> dict[str, int]:
    """What each kind of account gained by all movements: credits - debits."""
    sums: dict[str, int] = {}
    for movement in told["movements"]:
        amount, debit, credit = (movement[n] for n in ("amount_micros", "debit", "credit"))
        sums[debit["kind"]] = sums.get(debit["kind"], 0) - amount
        sums[credit["kind"]] = sums.get(credit["kind"], 0) + amount
    return {kind: total for kind, total in sums.items() if total}


class TestADecisionExplainsItself:
    async def test_from_the_question_to_the_last_movement(self, caller: Caller, org: str) -> None:
        await caller.org(org, 100 * CENT)
        asked = {"quantity": {"units": 3}, "project": "search", "user": "u1", "run": "r7"}
        context = {"ip": "203.0.113.9", "country": "de"}
        answer = await caller.authorize(org, **asked, context=context)
        hold = answer["hold"]["id"]
        extended = await caller.ok("POST", f"/v1/holds/{hold}/extend", {"quantity": {"units": 2}})
        await caller.capture(hold, quantity={"units": 4})

        told = await story(caller, answer["id"])

        assert told["answer"] == answer
        assert told["asked"]["subject"] == {"org": org, "project": "search", "user": "u1"}
        assert (told["asked"]["quantity"], told["asked"]["run"]) == ({"units": 3}, "r7")
        assert told["asked"]["context"]["country"] == "DE"
        assert "203.0.113.9" not in str(told["asked"]), "no raw address at rest"
        kinds = [(e["kind"], e["status"]) for e in told["events"]]
        assert kinds == [("authorize", "allow"), ("extend", "allow"), ("finish", "captured")]
        assert [e["seq"] for e in told["events"]] == sorted(e["seq"] for e in told["events"])
        (charge,) = told["charges"]
        assert (charge["captured_micros"], charge["quantity"]) == (4 * CENT, {"units": 4})
        assert moved(told) == {"grant": -4 * CENT, "revenue": 4 * CENT}
        assert (told["hold"]["status"], told["hold"]["captured_micros"]) == ("captured", 4 * CENT)
        of_extend = await story(caller, extended["id"])
        assert of_extend["answer"] == extended
        assert of_extend["movements"] == told["movements"], "the same hold under its id"

    async def test_a_denial_moves_nothing_and_says_why(self, caller: Caller, org: str) -> None:
        await caller.org(org, CENT)
        await cap(caller, org, 2 * CENT)
        answer = await caller.authorize(org, quantity={"units": 5})
        told = await story(caller, answer["id"])
        assert told["answer"] == answer
        assert [r["code"] for r in told["answer"]["reasons"]] == [
            "cap_exceeded",
            "insufficient_funds",
        ]
        assert (told["hold"], told["charges"], told["movements"]) == (None, [], [])

    async def test_signals_are_those_before_the_request(self, caller: Caller, org: str) -> None:
        await caller.org(org, 100 * CENT)
        await caller.authorize(org, user="u1")
        answer = await caller.authorize(org, user="u2")
        signals = (await story(caller, answer["id"]))["signals"]
        assert signals == {"org": [1, CENT] * 3, "user": [0, 0] * 3}

    async def test_one_that_settles_at_once(self, caller: Caller, org: str) -> None:
        await caller.org(org, 100 * CENT)
        answer = await caller.authorize(org, capture=True)
        told = await story(caller, answer["id"])
        assert (told["asked"]["mode"], told["hold"]) == ("capture", None)
        assert moved(told) == {"grant": -CENT, "revenue": CENT}
        assert [c["captured_micros"] for c in told["charges"]] == [CENT]


class TestWhatIsNotToldIs404:
    async def test_unknown_foreign_and_dry(
        self, gateway: Gateway, caller: Caller, org: str
    ) -> None:
        await caller.org(org, CENT)
        dry = await caller.authorize(org, dry_run=True)
        made = await caller.authorize(org)
        bound = {"name": "theirs", "scopes": ["finance"], "org": "another-org"}
        credential = await caller.ok("POST", "/v1/credentials", bound)
        async with Caller(gateway.address, credential["secret"]) as another:
            for who, decision in ((caller, dry["id"]), (caller, "dec_1"), (another, made["id"])):
                status, _, _ = await who.send("GET", f"/v1/decisions/{decision}")
                assert status == 404, decision
        assert (await story(caller, made["id"]))["id"] == made["id"]
        hold = made["hold"]["id"]
        assert (await caller.send("GET", f"/v1/decisions/{hold}"))[0] == 404, "a hold is none"

    async def test_it_needs_the_scope_of_risk_or_finance(
        self, gateway: Gateway, caller: Caller
    ) -> None:
        body = {"name": "frontend", "scopes": ["authorize", "read", "admin"]}
        credential = await caller.ok("POST", "/v1/credentials", body)
        async with Caller(gateway.address, credential["secret"]) as frontend:
            assert (await frontend.send("GET", "/v1/decisions/dec_1"))[0] == 403
