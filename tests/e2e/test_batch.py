"""Batches: each item stands alone, and the batch's key covers items without one of their own."""

from __future__ import annotations

from tests.gateways import Caller

BATCH = "/v1/authorize/batch"


async def test_a_batch_sent_again_under_its_key_has_one_effect(caller: Caller, org: str) -> None:
    await caller.org(org, 1_000_000)
    item = {"subject": {"org": org}, "product": "cent", "quantity": {"units": 1}}
    own = {**item, "idempotency_key": "own"}
    wrong = {**item, "quantity": {"units": -1}}
    batch = {"requests": [item, item, own, wrong]}
    first = (await caller.ok("POST", BATCH, batch, "batch-1"))["results"]
    again = (await caller.ok("POST", BATCH, batch, "batch-1"))["results"]
    assert again == first
    assert [result.get("decision", result.get("status")) for result in first] == [
        *["allow"] * 3,
        422,
    ]
    assert len({result["id"] for result in first[:3]}) == 3
    assert (await caller.balance(org))["held_micros"] == 30_000
