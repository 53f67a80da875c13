"""The OpenAPI document explains every member and shows an example of every message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from jsonschema_rs import Draft202012Validator

from gateway.http.app import build_document
from gateway.http.docs_page import page
from gateway.http.routes import ROUTES
from gateway.wire.decode import convert, decode
from gateway.wire.examples import BODIES, PATCHES
from gateway.wire.glossary import MEMBERS

document: Any = build_document()
SCHEMAS: dict[str, Any] = document["components"]["schemas"]
OPERATIONS = {
    f"{method} {path}": operation
    for path, methods in document["paths"].items()
    for method, operation in methods.items()
}


def shown(operation: Any) -> Iterator[tuple[str, Any]]:
    """Each content of an operation, with where it is shown."""
    parts = {"body": operation.get("requestBody", {}), **operation["responses"]}
    for name, part in parts.items():
        for kind, content in part.get("content", {}).items():
            yield f"{name} {kind}", content


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_member_of_every_message_has_a_description(name: str) -> None:
    schema = SCHEMAS[name]
    missing = [of for of, p in schema.get("properties", {}).items() if not p.get("description")]
    assert missing == []
    assert schema.get("description")


def test_every_row_of_the_glossary_is_a_member_of_a_message() -> None:
    names = {of for schema in SCHEMAS.values() for of in schema.get("properties", {})}
    whole = {f"{name}.{of}" for name, s in SCHEMAS.items() for of in s.get("properties", {})}
    assert [row for row in MEMBERS if row not in names | whole] == []


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_has_a_tag_a_description_and_examples(name: str) -> None:
    operation = OPERATIONS[name]
    assert {tag["name"] for tag in document["tags"]} >= set(operation["tags"]) != set()
    assert len(operation["description"]) > 20
    assert all(parameter["description"] for parameter in operation["parameters"])
    contents = dict(shown(operation))
    assert contents
    assert all("example" in content for content in contents.values())


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_example_is_what_its_schema_says(name: str) -> None:
    for where, content in shown(OPERATIONS[name]):
        if "merge-patch" in where or (name.startswith("patch") and where.startswith("body")):
            continue
        schema = {**content["schema"], "components": document["components"]}
        faults = Draft202012Validator(schema).iter_errors(content["example"])
        assert [f"{where} {fault.instance_path}: {fault.message}" for fault in faults] == []


def test_an_example_of_a_body_is_a_body() -> None:
    for route in ROUTES:
        if route.patches is not None:
            convert(
                {**BODIES[route.patches.__name__], **PATCHES[route.patches.__name__]}, route.patches
            )
        elif route.body is not None:
            assert decode(msgspec.json.encode(BODIES[route.body.__name__]), route.body) is not None


def test_the_page_groups_links_and_explains_without_anything_from_elsewhere() -> None:
    text = page(document)
    for name in SCHEMAS:
        assert f"<h3 id='{name}'>" in text
    for operation in OPERATIONS.values():
        assert f"<details id='{operation['operationId']}'>" in text
    assert text.count("curl -X") == len(OPERATIONS)
    assert "<script" not in text
    assert "http" not in text.replace("http://127.0.0.1:8080/", "")
    links = {part.partition("'")[0] for part in text.split("href='#")[1:]}
    assert all(f"id='{link}'" in text for link in links)
