"""The same input hears the same answer whatever database is behind; one that is away is a 503."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.databases import Postgres
from tests.gateways import Caller, running

LONG = "x" * 2000
INPUTS: tuple[tuple[str, str, Any], ...] = (
    ("PUT", "/v1/orgs/acme", {"name": "a\u0000b"}),
    ("PUT", "/v1/orgs/a%00b", {}),
    ("PUT", "/v1/orgs/%F0%9F%91%A9", {"name": "👩"}),
    ("PUT", "/v1/orgs/%C3%BC", {"name": "ü"}),
    ("PUT", "/v1/orgs/u%CC%88", {"name": "the same, composed"}),
    ("PUT", "/v1/orgs/U", {"name": "another"}),
    ("PUT", "/v1/orgs/acme", {"name": LONG}),
    ("PUT", "/v1/orgs/acme/users/jane", {"name": "\ud83d"}),
    ("PUT", "/v1/orgs/acme/keys/k", {"user": "\u0000"}),
    ("POST", "/v1/orgs/acme/adjustments", {"amount_micros": 1, "kind": "refund", "note": "\u0000"}),
    ("PUT", "/v1/lists/mine/items/a%00", {}),
    ("PUT", "/v1/lists/mine/items/x", {"note": "\u0000"}),
    ("POST", "/v1/rulesets", {"text": "rules: \u0000"}),
    ("POST", "/v1/rulesets", {"text": "rules: []", "name": "\u0000"}),
    ("POST", "/v1/models", {"text": "\u0000"}),
    ("POST", "/v1/credentials", {"name": "\u0000", "scopes": ["read"]}),
    ("POST", "/v1/labels", {"decision": "dec_none", "label": "good", "note": "\u0000"}),
    ("GET", "/v1/decisions?org=%00", None),
    ("GET", "/v1/decisions?from=%00", None),
    ("GET", "/v1/decisions?cursor=%00", None),
    ("GET", "/v1/orgs/acme/usage?group_by=%00", None),
    ("DELETE", "/v1/credentials/cred_%00", None),
    ("POST", "/v1/holds/hold_%00/capture", {"amount_micros": 1}),
    ("PUT", "/v1/plans/p%00", {"rate_card": "default"}),
    ("POST", "/v1/authorize", {"subject": {"org": "\u0000"}, "product": "p", "amount_micros": 1}),
)


async def heard(directory: Path, **settings: str) -> list[tuple[int, str]]:
    """What each input hears: status and kind of problem."""
    found = []
    with running(directory, **settings) as gateway:
        async with Caller(gateway.address) as caller:
            await caller.prices()
            await caller.org("acme", 10**9)
            for method, path, body in INPUTS:
                status, answer, _ = await caller.send(method, path, _raw(body))
                kind = answer.get("type", "") if status >= 400 else ""
                found.append((status, kind))
            await caller.reconciled()
    return found


def _raw(body: Any) -> Any:
    # As bytes: half a character is no text that an encoder takes.
    if body is None:
        return None
    import json

    return json.dumps(body).encode()


async def test_bad_inputs_are_refused_alike(tmp_path: Path, postgres: Postgres) -> None:
    sqlite = await heard(tmp_path / "sqlite")
    urls = {"catalog_url": postgres.database(), "ledger_url": postgres.database()}
    postgresql = await heard(tmp_path / "postgresql", **urls)
    for said, one, other in zip(INPUTS, sqlite, postgresql, strict=True):
        assert one == other, said
        assert one[0] < 500, said


async def test_a_catalog_that_is_away_is_a_503_and_what_is_known_works_on(
    tmp_path: Path, postgres: Postgres
) -> None:
    url = postgres.database()
    with running(tmp_path, catalog_url=url) as gateway:
        async with Caller(gateway.address) as caller:
            await caller.prices()
            await caller.org("acme", 10**9)
            await caller.authorize("acme")
            postgres.drop(url)
            body = {"name": "x", "scopes": ["read"]}
            for method, path, sent in (
                ("POST", "/v1/credentials", body),
                ("GET", "/v1/credentials", None),
                ("DELETE", "/v1/credentials/cred_x", None),
                ("PUT", "/v1/orgs/acme", {"name": "x"}),
                ("GET", "/v1/rulesets", None),
                ("PUT", "/v1/lists/mine/items/x", {}),
            ):
                status, problem, _ = await caller.send(method, path, sent)
                assert (status, problem["type"].rpartition(":")[2]) == (
                    503, "catalog_unavailable",
                ), (method, path)  # fmt: skip
            assert (await caller.authorize("acme"))["decision"] == "allow"
            async with Caller(gateway.address, "sk_unknown") as stranger:
                assert (await stranger.send("GET", "/v1/credentials"))[0] == 503
