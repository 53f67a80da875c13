"""The OpenAPI document is whole and true: whatever is sent, the answer is one it promises."""

from __future__ import annotations

import asyncio
import copy
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode
from schemathesis.checks import ignored_auth, negative_data_rejection, positive_data_acceptance
from schemathesis.config import (
    ChecksConfig,
    GenerationConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)

from gateway.http.app import build_document
from gateway.http.routes import ROUTES
from tests.gateways import ADMIN_KEY, Caller, Gateway, running

EXAMPLES = 5
"""Random ones of each operation; those at the edges of its schema come on top."""
ORG, HOLDER = "acme", "holder"
HEADERS = {"Authorization": f"Bearer {ADMIN_KEY}"}
BATCH = "/v1/authorize/batch"
session = requests.Session()

document = build_document()
both_ways = GenerationConfig(
    modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE],
    with_security_parameters=False,
)
expecting = ChecksConfig()
rejection = expecting.negative_data_rejection
# A precondition is looked at before the body (RFC 9110, 13.2.1): 412 refuses a wrong one too.
rejection.expected_statuses = [*rejection.expected_statuses, "412"]
project = ProjectConfig(generation=both_ways, checks=expecting)
schema = schemathesis.openapi.from_dict(
    copy.deepcopy(document), config=SchemathesisConfig(projects=ProjectsConfig(default=project))
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of this module's own, with prices an org that has funds and one that holds."""
    with running(tmp_path_factory.mktemp("fuzzed")) as found:

        async def prepare() -> None:
            async with Caller(found.address) as caller:
                await caller.prices()
                await caller.org(ORG, 10**12)
                await caller.org(HOLDER)

        asyncio.run(prepare())
        yield found


def new_hold(gateway: Gateway) -> str:
    body = {"subject": {"org": HOLDER}, "product": "cent", "amount_micros": 0}
    answer = session.post(f"{gateway.address}/v1/authorize", json=body, headers=HEADERS, timeout=9)
    return str(answer.json()["hold"]["id"])


def make_sensible(case: schemathesis.Case, gateway: Gateway) -> None:
    """Let what fits the schema also fit what is there: it then reaches further in."""
    if "Idempotency-Key" in (case.headers or {}):
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    if "org" in case.path_parameters:
        case.path_parameters["org"] = ORG
    if case.path.startswith("/v1/holds/"):
        case.path_parameters["id"] = new_hold(gateway)
    if case.path.endswith("/contract") and case.method == "PUT":
        case.body |= {"rate_card": "default", "version": "v1"}
    if isinstance(case.body, dict):
        for body in case.body.get("requests", [case.body]):
            make_body_sensible(case.path, body)


def make_body_sensible(path: str, body: dict[str, Any]) -> None:
    if path.endswith(("/authorize", "/authorize/batch")):
        body["subject"]["org"] = ORG
        body["context"] = {**(body.get("context") or {}), "ip": "2001:db8::1"}
        body["partial"] = None
    if path.endswith(("/authorize", "/authorize/batch", "/extend", "/capture")):
        # Exactly one of the two.
        has_quantity = body.get("quantity") is not None
        body["amount_micros"] = None if has_quantity else body.get("amount_micros") or 0
    if path.endswith("/adjustments"):
        if body.get("amount_micros") is None:
            body["set_available_micros"] = body.get("set_available_micros") or 0
        else:
            body["set_available_micros"] = None


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_one_that_the_document_promises(
    case: schemathesis.Case, fuzzed: Gateway
) -> None:
    # That no route takes a stranger is shown elsewhere, in fewer calls.
    excluded = [positive_data_acceptance, ignored_auth]
    if case.path == BATCH or "{value}" in case.path:
        # A batch with a wrong item is answered: with a problem in that item's place. Whatever
        # stands in a path is some text, and so may stand on a list.
        excluded.append(negative_data_rejection)
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
        make_sensible(case, fuzzed)
    response = case.call(base_url=fuzzed.address, headers=HEADERS, session=session)
    case.validate_response(response, headers=HEADERS, excluded_checks=excluded)


def test_after_all_that_nothing_was_logged_and_the_books_agree(fuzzed: Gateway) -> None:
    answer = requests.get(f"{fuzzed.address}/v1/ledger/reconcile", headers=HEADERS, timeout=20)
    assert answer.json()["ok"], answer.text
    assert fuzzed.errors == []


async def test_the_document_is_served_as_it_is_built(caller: Caller) -> None:
    assert await caller.ok("GET", "/openapi.json") == document
    assert document["openapi"] == "3.1.0"


def test_every_route_is_in_the_document_with_its_messages_scopes_and_statuses() -> None:
    paths: Any = document["paths"]
    assert {(r.method.lower(), r.path) for r in ROUTES} == {
        (method, path) for path, methods in paths.items() for method in methods
    }
    for route in ROUTES:
        operation = paths[route.path][route.method.lower()]
        assert all(scope in operation["description"] for scope in route.scopes)
        named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", route.path))
        answers = operation["responses"]
        assert {"401", "403", "404", "422", "503", *map(str, route.statuses)} <= set(answers)
        if route.body is not None:
            content = operation["requestBody"]["content"]["application/json"]
            name = route.body.__name__
            if route.patches is not None:
                name = route.patches.__name__.replace("Body", "Patch")
            assert content["schema"]["$ref"].endswith(f"/{name}")
            assert {"400", "408", "413", "415"} <= set(answers)
        if route.answer is None:
            assert "204" in answers
        else:
            content = answers["200"]["content"]["application/json"]
            # A page of something names both.
            kinds = getattr(route.answer, "__args__", (route.answer,))
            assert all(kind.__name__ in content["schema"]["$ref"] for kind in kinds)


def references(node: Any) -> Iterator[str]:
    members = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and isinstance(node.get("$ref"), str):
        yield node["$ref"]
    for member in members:
        yield from references(member)


def test_every_reference_of_the_document_leads_to_a_schema() -> None:
    components: Any = document["components"]
    known = {f"#/components/schemas/{name}" for name in components["schemas"]}
    assert set(references(document)) == known


def test_every_operation_has_a_name_of_its_own() -> None:
    paths: Any = document["paths"]
    names = [o["operationId"] for methods in paths.values() for o in methods.values()]
    assert len(names) == len(set(names))


async def test_the_root_leads_to_the_page(caller: Caller) -> None:
    assert caller.session is not None
    async with caller.session.get(f"{caller.address}/", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/docs")


async def test_the_page_names_every_path_and_loads_nothing_from_elsewhere(
    caller: Caller,
) -> None:
    assert caller.session is not None
    async with caller.session.get(f"{caller.address}/docs") as answer:
        page = await answer.text()
    assert all(route.path in page for route in ROUTES)
    assert "<script" not in page
    assert "http" not in page.replace("http://127.0.0.1:8080/", "")
