"""Bodies, paths and methods that are wrong are refused, and change nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from gateway.http.routes import ROUTES
from tests.e2e.hostile import CAP, CONTRACT, asked, path_of, refused
from tests.gateways import Caller

BODY_LIMIT = 64 * 1024
BATCH_LIMIT = 1024 * 1024


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nul",
        b"'a'",
        b"{}}",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\x00}\x00",
        b'{"subject":NaN}',
        b'{"subject":{"org":"\\ud800"}}',
        b'{"product":"\xed\xa0\x80"}',
        b"[" * 30_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"\x00" * 100,
    ],
)
async def test_malformed_json_is_a_400(caller: Caller, body: bytes) -> None:
    for path in ("/v1/authorize", "/v1/authorize/batch", "/v1/orgs/o/grants"):
        refused(await caller.send("POST", path, body), 400, "malformed_json")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"colour": "red"}, "/colour"),
        ({"subject": {"org": "a", "owner": "b"}}, "/subject/owner"),
        ({"subject": {}}, "/subject/org"),
        ({"subject": {"org": "a\u200b"}}, "/subject/org"),
        ({"subject": {"org": "a\n"}}, "/subject/org"),
        ({"subject": {"org": "a" * 256}}, "/subject/org"),
        ({"subject": None}, "/subject"),
        ({"quantity": {"units": 1.0}}, "/quantity/units"),
        ({"quantity": {"units": 1, "input_tokens": 1.5}}, "/quantity/input_tokens"),
        ({"quantity": {"units": True}}, "/quantity/units"),
        ({"quantity": {"units": -1}}, "/quantity/units"),
        ({"quantity": {"units": "1"}}, "/quantity/units"),
        ({"quantity": {"units": None}}, "/quantity/units"),
        ({"quantity": [1]}, "/quantity"),
        ({"hold_ttl_s": 0}, "/hold_ttl_s"),
        ({"hold_ttl_s": 2_592_001}, "/hold_ttl_s"),
        ({"hold_ttl_s": 1.5}, "/hold_ttl_s"),
        ({"capture": 1}, "/capture"),
        ({"dry_run": "yes"}, "/dry_run"),
        ({"context": {"ip": "127.1"}}, "/context/ip"),
        ({"context": {"ip": ""}}, "/context/ip"),
        ({"context": {"asn": True}}, "/context/asn"),
        ({"context": {"country": "DE\n"}}, "/context/country"),
        ({"partial": {"unit": "images", "at_least": 1}}, "/partial/unit"),
        ({"partial": {"unit": "units", "at_least": 2}}, "/partial/at_least"),
        ({"amount_micros": 1}, ""),
        ({"quantity": None}, ""),
    ],
)
async def test_an_invalid_authorize_is_a_422_that_points_at_what_is_wrong(
    caller: Caller, org: str, change: dict[str, Any], pointer: str
) -> None:
    await caller.org(org, 1_000_000)
    before = await caller.balance(org)
    answer = await caller.send("POST", "/v1/authorize", {**asked(org), **change})
    refused(answer, 422, "invalid_request", pointer)
    batch = {"requests": [{**asked(org), **change}]}
    (item,) = (await caller.ok("POST", "/v1/authorize/batch", batch))["results"]
    assert item == answer[1]
    assert await caller.balance(org) == before


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/contract", {**CONTRACT, "products": {"a": {}, "b": {"price": 1}}}, "/products/b/price"),
        ("/contract", {**CONTRACT, "discount_bps": 10_001}, "/discount_bps"),
        ("/contract", {**CONTRACT, "starts_at": "2020-01-01T00:00:00"}, "/starts_at"),
        ("/contract", {**CONTRACT, "starts_at": 1_600_000_000}, "/starts_at"),
        ("/contract", {**CONTRACT, "version": "v404"}, "/version"),
        ("/contract", {**CONTRACT, "ends_at": "2019-01-01T00:00:00Z"}, "/ends_at"),
        ("/caps/c", {**CAP, "limit_micros": -1}, "/limit_micros"),
        ("/caps/c", {**CAP, "window": "year"}, "/window"),
        ("/caps/c", {**CAP, "target": "x"}, "/target"),
        ("/caps/c", {**CAP, "alert_at": [50, 0]}, "/alert_at/1"),
        ("", {"timezone": "../../etc/passwd"}, "/timezone"),
        ("", {"timezone": "UTC\x00"}, "/timezone"),
        ("", {"currency": "usd"}, "/currency"),
        ("", {"plan": "none"}, "/plan"),
        ("/keys/k%0A", {}, ""),
        ("/keys/%FF", {}, ""),
    ],
)
async def test_an_invalid_setting_is_a_422_that_points_at_what_is_wrong(
    caller: Caller, org: str, path: str, body: dict[str, Any], pointer: str
) -> None:
    await caller.org(org)
    before = await caller.ok("GET", f"/v1/orgs/{org}")
    answer = await caller.send("PUT", f"/v1/orgs/{org}{path}", body)
    refused(answer, 422, "invalid_request", pointer)
    assert await caller.ok("GET", f"/v1/orgs/{org}") == before


async def test_a_pointer_escapes_what_the_caller_named(caller: Caller, org: str) -> None:
    for product in ("cent", "image"):
        body = asked(org, product=product, quantity={"a/b~c": 1})
        refused(
            await caller.send("POST", "/v1/authorize", body),
            422,
            "unknown_unit",
            "/quantity/a~1b~0c",
        )


async def test_an_unknown_query_parameter_is_a_422(caller: Caller, org: str) -> None:
    for query in ("colour=red", "from=yesterday", "from=%00", "group_by=colour"):
        answer = await caller.send("GET", f"/v1/orgs/{org}/usage?{query}")
        refused(answer, 422, "invalid_request")
    refused(await caller.send("GET", f"/v1/orgs/{org}/balance?x=1"), 422, "invalid_request")


async def test_of_duplicate_names_the_last_counts(caller: Caller, org: str) -> None:
    await caller.org(org, 1_000_000)
    body = (
        f'{{"subject":{{"org":"other"}},"subject":{{"org":"x","org":"{org}"}},"product":"cent",'
        '"quantity":{"units":7.5},"quantity":{"units":9,"units":2}}'
    )
    status, answer, _ = await caller.send("POST", "/v1/authorize", body.encode())
    assert status == 200
    assert answer["hold"]["amount_micros"] == 20_000
    assert (await caller.balance(org))["held_micros"] == 20_000


async def test_null_for_an_optional_member_means_absent(caller: Caller, org: str) -> None:
    await caller.org(org, 1_000_000)
    nulls = ["amount_micros", "capture", "hold_ttl_s", "partial", "run", "challenge", "context"]
    first = await caller.ok("POST", "/v1/authorize", asked(org), "key")
    body = {**asked(org), **dict.fromkeys(nulls)}
    assert await caller.ok("POST", "/v1/authorize", body, "key") == first


@pytest.mark.parametrize("path", ["/v1", "/v1/authorize/", "/v1/orgs/a/b", "/V1/authorize"])
async def test_an_unknown_path_is_a_404(caller: Caller, path: str) -> None:
    refused(await caller.send("GET", path), 404, "not_found")


async def test_a_method_a_path_does_not_take_is_a_405_that_names_those_it_takes(
    caller: Caller, org: str
) -> None:
    taken: dict[str, set[str]] = {}
    for route in ROUTES:
        taken.setdefault(route.path, set()).add(route.method)
    taken |= {path: {"GET"} for path in ("/healthz", "/readyz", "/metrics", "/openapi.json")}
    for path, methods in taken.items():
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} - methods:
            answer = await caller.send(method, path_of(path, org))
            refused(answer, 405, "method_not_allowed")
            assert set(answer[2]["Allow"].split(", ")) == methods


async def test_a_body_of_64_kib_is_heard_and_one_byte_more_is_refused(
    caller: Caller, org: str
) -> None:
    await caller.org(org, 1_000_000)
    body = msgspec.json.encode(asked(org))
    status, _, _ = await caller.send("POST", "/v1/authorize", body.ljust(BODY_LIMIT))
    assert status == 200
    before = await caller.balance(org)
    for size in (BODY_LIMIT + 1, BATCH_LIMIT, 8 * BATCH_LIMIT):
        answer = await caller.send("POST", "/v1/authorize", body.ljust(size))
        refused(answer, 413, "body_too_large")
    assert await caller.balance(org) == before


async def test_a_batch_of_1_mib_is_heard_and_one_byte_more_is_refused(
    caller: Caller, org: str
) -> None:
    await caller.org(org, 1_000_000)
    body = msgspec.json.encode({"requests": [asked(org)]})
    status, _, _ = await caller.send("POST", "/v1/authorize/batch", body.ljust(BATCH_LIMIT))
    assert status == 200
    before = await caller.balance(org)
    answer = await caller.send("POST", "/v1/authorize/batch", body.ljust(BATCH_LIMIT + 1))
    refused(answer, 413, "body_too_large")
    assert await caller.balance(org) == before


async def test_a_chunked_body_is_measured_as_it_comes(caller: Caller, org: str) -> None:
    await caller.org(org, 1_000_000)

    async def sent(size: int) -> int:
        async def chunks() -> AsyncIterator[bytes]:
            yield msgspec.json.encode(asked(org))
            for _ in range(size // 1024):
                yield b" " * 1024

        assert caller.session is not None
        headers = {**caller.headers, "Content-Type": "application/json"}
        async with caller.session.post(
            f"{caller.address}/v1/authorize", data=chunks(), headers=headers
        ) as answer:
            return answer.status

    assert await sent(BODY_LIMIT // 2) == 200
    before = await caller.balance(org)
    assert await sent(BODY_LIMIT) == 413
    assert await caller.balance(org) == before


async def test_a_batch_of_more_than_500_is_refused_whole(caller: Caller, org: str) -> None:
    await caller.org(org, 1_000_000)
    before = await caller.balance(org)
    batch = {"requests": [asked(org)] * 501}
    answer = await caller.send("POST", "/v1/authorize/batch", batch)
    refused(answer, 422, "invalid_request", "/requests")
    assert await caller.balance(org) == before


async def test_in_a_batch_each_item_stands_alone(caller: Caller, org: str) -> None:
    await caller.org(org, 1_000_000)
    wrong: list[Any] = [1, None, [], {}, "x", {**asked(org), "x": 1}, asked(org, amount_micros=-1)]
    batch = {"requests": [asked(org), *wrong, asked(org)]}
    first, *problems, last = (await caller.ok("POST", "/v1/authorize/batch", batch))["results"]
    assert (first["decision"], last["decision"]) == ("allow", "allow")
    assert [problem["status"] for problem in problems] == [422] * len(wrong)
    assert (await caller.balance(org))["held_micros"] == 20_000


async def test_only_application_json_is_understood(caller: Caller, org: str) -> None:
    await caller.org(org, 1_000_000)
    before = await caller.balance(org)
    for kind in (
        "text/plain",
        "",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "json",
    ):
        answer = await caller.send("POST", "/v1/authorize", asked(org), **{"Content-Type": kind})
        refused(answer, 415, "unsupported_media_type")
    for coding in ("gzip", "br", "identity, gzip"):
        headers = {"Content-Encoding": coding}
        answer = await caller.send("POST", "/v1/authorize", asked(org), **headers)
        refused(answer, 415, "unsupported_media_type")
    assert await caller.balance(org) == before
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert (await caller.send("POST", "/v1/authorize", asked(org), **headers))[0] == 200
