"""Idempotency keys: one effect, and the first answer byte for byte."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from tests.e2e.hostile import MAX_MICROS, admitted, asked, credential, exchanged, refused
from tests.gateways import Caller, Gateway


async def test_every_post_that_changes_something_is_replayed_byte_for_byte_with_one_effect(
    caller: Caller, org: str
) -> None:
    await caller.org(org, 10_000_000)
    grant = (await caller.balance(org))["grants"][0]["id"]
    holds = [(await caller.authorize(org, quantity={"units": 3}))["hold"]["id"] for _ in range(3)]
    for path, body, other in (
        ("/v1/authorize", asked(org), asked(org, quantity={"units": 2})),
        (f"/v1/holds/{holds[0]}/extend", {"amount_micros": 7}, {"amount_micros": 8}),
        (f"/v1/holds/{holds[1]}/capture", {"amount_micros": 7}, {"amount_micros": 8}),
        (f"/v1/holds/{holds[2]}/release", {}, None),
        (
            f"/v1/orgs/{org}/grants",
            {"amount_micros": 5, "kind": "paid"},
            {"amount_micros": 5, "kind": "promotional"},
        ),
        (
            f"/v1/orgs/{org}/adjustments",
            {"amount_micros": -5, "kind": "refund", "note": "a"},
            {"amount_micros": -5, "kind": "refund", "note": "b"},
        ),
        (f"/v1/orgs/{org}/grants/{grant}/void", {}, None),
        (
            "/v1/credentials",
            {"name": "x", "scopes": ["read"]},
            {"name": "y", "scopes": ["read"]},
        ),
    ):
        key = f"{org}-{path}"[:255]
        status, first, replayed = await exchanged(caller, path, body, **{"Idempotency-Key": key})
        assert (status, replayed) == (200, False), first
        before = await caller.balance(org)
        for sent in (key, f'"{key}"', f" {key} "):
            again = await exchanged(caller, path, body, **{"Idempotency-Key": sent})
            assert again == (200, first, True)
        # The same body in other words is the same body.
        spaced = msgspec.json.format(msgspec.json.encode(body), indent=3)
        again = await exchanged(caller, path, spaced, **{"Idempotency-Key": key})
        assert again == (200, first, True)
        if other is not None:
            answer = await caller.send("POST", path, other, key)
            refused(answer, 422, "idempotency_key_reused")
            assert answer[1]["type"].endswith("idempotency_key_reused")
        assert await caller.balance(org) == before
    await caller.reconciled()


async def test_an_item_of_a_batch_is_replayed_under_its_own_key(caller: Caller, org: str) -> None:
    await caller.org(org, 1_000_000)
    batch = {"requests": [asked(org, idempotency_key="one"), asked(org, idempotency_key="two")]}
    first = await exchanged(caller, "/v1/authorize/batch", batch)
    assert (await exchanged(caller, "/v1/authorize/batch", batch))[1] == first[1]
    other = {"requests": [asked(org, idempotency_key="one", quantity={"units": 2})]}
    (reused,) = (await caller.ok("POST", "/v1/authorize/batch", other))["results"]
    assert reused["type"].endswith("idempotency_key_reused")
    assert (await caller.balance(org))["held_micros"] == 20_000


async def test_twenty_at_once_under_one_key_have_one_effect_and_one_answer(
    caller: Caller, org: str
) -> None:
    await caller.org(org, 1_000_000)
    headers = {"Idempotency-Key": "same", "Connection": "close"}
    calls = [exchanged(caller, "/v1/authorize", asked(org), **headers) for _ in range(20)]
    answers = await asyncio.gather(*calls)
    assert {(status, body) for status, body, _ in answers} == {(200, answers[0][1])}
    assert sorted(replayed for _, _, replayed in answers) == [False] + [True] * 19
    assert (await caller.balance(org))["held_micros"] == 10_000


async def test_a_key_is_its_credentials_paths_and_orgs_own(
    caller: Caller, gateway: Gateway, org: str
) -> None:
    others = [await caller.org(org, 1_000_000), await caller.org(f"{org}-2", 1_000_000)]
    ids = [(await caller.authorize(o, idempotency_key="k"))["id"] for o in others]
    _, secret = await credential(caller, "authorize")
    async with Caller(gateway.address, secret) as another:
        await admitted(another)
        ids.append((await another.authorize(org, idempotency_key="k"))["id"])
    assert len(set(ids)) == 3
    status, _, headers = await caller.send(
        "POST", f"/v1/orgs/{org}/grants", {"amount_micros": 5, "kind": "paid"}, "k"
    )
    assert (status, headers.get("Idempotent-Replayed")) == (200, None)


@pytest.mark.parametrize("key", ["x" * 255, '"' + "x" * 255 + '"', "é" * 127, '"', "a b", "\\"])
async def test_a_key_of_1_to_255_characters_is_kept(caller: Caller, org: str, key: str) -> None:
    first = await exchanged(caller, "/v1/authorize", asked(org), **{"Idempotency-Key": key})
    again = await exchanged(caller, "/v1/authorize", asked(org), **{"Idempotency-Key": key})
    assert again == (200, first[1], True)


@pytest.mark.parametrize("key", ["", '""', "x" * 256, '"' + "x" * 256 + '"', "x" * 4000])
async def test_an_empty_or_longer_key_is_refused(caller: Caller, org: str, key: str) -> None:
    await caller.org(org, 1_000_000)
    before = await caller.balance(org)
    answer = await caller.send("POST", "/v1/authorize", asked(org), key)
    refused(answer, 422, "invalid_request")
    assert await caller.balance(org) == before


async def test_a_grant_that_filled_the_range_is_replayed(caller: Caller, org: str) -> None:
    await caller.org(org)
    path, body = f"/v1/orgs/{org}/grants", {"amount_micros": MAX_MICROS, "kind": "paid"}
    first = await exchanged(caller, path, body, **{"Idempotency-Key": "k"})
    again = await exchanged(caller, path, body, **{"Idempotency-Key": "k"})
    assert again == (200, first[1], True)


async def test_a_grant_that_has_expired_since_is_replayed(caller: Caller, org: str) -> None:
    await caller.org(org)
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    path = f"/v1/orgs/{org}/grants"
    body = {"amount_micros": 5, "kind": "paid", "expires_at": ends}
    first = await exchanged(caller, path, body, **{"Idempotency-Key": "k"})
    await asyncio.sleep(2.2)
    again = await exchanged(caller, path, body, **{"Idempotency-Key": "k"})
    assert again == (200, first[1], True)


async def test_an_extend_that_filled_the_range_is_replayed(caller: Caller, org: str) -> None:
    await caller.org(org)
    await caller.ok("POST", f"/v1/orgs/{org}/grants", {"amount_micros": MAX_MICROS, "kind": "paid"})
    hold = (await caller.authorize(org, amount_micros=1))["hold"]["id"]
    path, body = f"/v1/holds/{hold}/extend", {"amount_micros": MAX_MICROS - 1}
    first = await exchanged(caller, path, body, **{"Idempotency-Key": "k"})
    assert first[0] == 200
    again = await exchanged(caller, path, body, **{"Idempotency-Key": "k"})
    assert again == (200, first[1], True)
