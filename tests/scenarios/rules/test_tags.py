"""Tags: what a caller says of a request, kept with it and read by rules."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateways import Caller
from tests.scenarios.rules import alone
from tests.scenarios.rules.rulebook import booked, in_force, rule, rules

gateway = alone.gateway


async def test_rules_read_the_tags_of_a_request_and_lists_hold_them(
    caller: Caller, org: str
) -> None:
    await caller.ok("PUT", f"/v1/lists/teams-{org}/items/red", {})
    text = rules(
        rule("beta", "block", 'tags.stage == "beta"'),
        rule("red", "block", f"tags.team in @teams-{org}"),
    )
    await in_force(caller, text)
    for tags, reasons in (
        ({"stage": "beta"}, ["beta"]), ({"team": "red", "x.y-z": "1"}, ["red"]), ({}, []),
        (None, []),
    ):  # fmt: skip
        answer = await caller.authorize(org, tags=tags)
        assert [reason["id"] for reason in answer["reasons"]] == reasons
        await booked(caller)
        told = await caller.ok("GET", f"/v1/decisions/{answer['id']}")
        assert told["asked"]["tags"] == (tags or {})
        assert (await caller.ok("POST", f"/v1/decisions/{answer['id']}/replay", {}))["same"]


@pytest.mark.parametrize(
    "tags", [{"": "x"}, {"a b": "x"}, {"n" * 41: "x"}, {"n": "x" * 129}, {"n": ""}, {"n": 1},
             {str(i): "x" for i in range(9)}],
)  # fmt: skip
async def test_tags_are_bounded(caller: Caller, org: str, tags: Any) -> None:
    body = {"subject": {"org": org}, "product": "cent", "quantity": {"units": 1}, "tags": tags}
    status, problem, _ = await caller.send("POST", "/v1/authorize", body)
    assert status == 422
    assert problem["errors"][0]["pointer"].startswith("/tags")
