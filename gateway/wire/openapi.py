"""The OpenAPI document, made from the message types, and a page that shows it."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.errors import PROBLEMS
from gateway.wire.fields import Patch
from gateway.wire.ids import NAME_PATTERN, VISIBLE
from gateway.wire.problems import TYPE_PREFIX, Problem
from gateway.wire.requests.spend import BatchItem

WORLD = ("org", "project", "user", "key", "value")
"""Parts of paths that may be any text."""
CONDITIONS = {
    "If-Match": "entity tags of the state to change; another state is 412",
    "If-None-Match": "`*` creates and never changes: what exists is 412",
}
REF = "#/components/schemas/{name}"


@dataclass(frozen=True)
class Operation:
    """The parts of a route that the document describes."""

    method: str
    path: str
    summary: str
    scopes: tuple[str, ...]
    body: type | None
    answer: Any
    query: dict[str, str]
    statuses: tuple[int, ...]
    patches: type | None = None
    by_metadata: bool = False
    has_etag: bool = False


def document(version: str, operations: list[Operation]) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    types = [o.body for o in operations if o.body] + [o.answer for o in operations if o.answer]
    types += [Problem, BatchItem]
    types = [kind for kind in types if kind is not Patch]
    _, schemas = msgspec.json.schema_components(types, ref_template=REF)
    kinds = [f"{TYPE_PREFIX}{code}" for code in sorted(PROBLEMS)]
    schemas["Problem"]["properties"]["type"]["enum"] = kinds
    for operation in operations:
        if operation.patches is not None:
            schemas[_patch_name(operation.patches)] = _patch_schema(operation.patches, schemas)
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "spendgate",
            "version": version,
            "description": "Real-time spend control. A denial is an answer (200), not an error.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}],
    }


def _reference(kind: Any) -> dict[str, Any]:
    (found,), _ = msgspec.json.schema_components([kind], ref_template=REF)
    return found


def _patch_name(kind: type) -> str:
    return kind.__name__.removesuffix("Body") + "Patch"


def _patch_schema(kind: type, schemas: dict[str, Any]) -> dict[str, Any]:
    """The schema of a merge patch: the members of a PUT's body, none of them required."""
    put = schemas[kind.__name__]
    about = f"JSON merge patch (RFC 7396) with the members of {kind.__name__}."
    shown = {name: value for name, value in put.items() if name not in ("required", "title")}
    return shown | {"title": _patch_name(kind), "description": about}


def _operation(operation: Operation) -> dict[str, Any]:
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": VISIBLE if name in WORLD else NAME_PATTERN},
        }
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    parameters += [
        {"name": name, "in": "query", "description": meaning, "schema": {"type": "string"}}
        for name, meaning in operation.query.items()
    ]
    if operation.method in ("PUT", "PATCH") and operation.has_etag:
        parameters += [
            {"name": name, "in": "header", "description": meaning, "schema": {"type": "string"}}
            for name, meaning in CONDITIONS.items()
        ]
    if operation.method == "POST":
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            }
        )
    found: dict[str, Any] = {
        "summary": operation.summary,
        "description": f"Scope: {' or '.join(operation.scopes)}.",
        "operationId": _name(operation),
        "parameters": parameters,
        "responses": _responses(operation),
    }
    if operation.patches is not None:
        reference = {"$ref": REF.format(name=_patch_name(operation.patches))}
        kinds = ("application/merge-patch+json", "application/json")
        content = {kind: {"schema": reference} for kind in kinds}
        found["requestBody"] = {"required": True, "content": content}
    elif operation.body is not None:
        content = {"application/json": {"schema": _reference(operation.body)}}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _name(operation: Operation) -> str:
    words = re.findall(r"\w+", operation.path.replace("v1", ""))
    return "_".join([operation.method.lower(), *words])


def _responses(operation: Operation) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": _reference(Problem)}}
    faults = {401, 403, 404, 422, 503, *(s for s in operation.statuses if s >= 400)}
    if operation.body is not None:
        faults |= {400, 408, 413, 415}
    if (operation.has_etag and operation.method != "GET") or operation.method == "DELETE":
        faults.add(412)
    responses: dict[str, Any] = {
        str(status): {"description": "a fault", "content": problem} for status in sorted(faults)
    }
    if operation.answer is None:
        responses["204"] = {"description": "done"}
    else:
        content = {"application/json": {"schema": _reference(operation.answer)}}
        for status in (200, *(s for s in operation.statuses if s < 400)):
            responses[str(status)] = {"description": "the answer", "content": content}
            if operation.has_etag:
                responses[str(status)]["headers"] = {"ETag": {"schema": {"type": "string"}}}
    return responses


def page(found: dict[str, Any]) -> str:
    """The document as one plain page: no script, nothing loaded from elsewhere."""
    rows = []
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            rows.append(
                f"<tr><td><b>{method.upper()}</b></td><td><code>{html.escape(path)}</code></td>"
                f"<td>{html.escape(operation['summary'])}</td>"
                f"<td>{html.escape(operation['description'])}</td></tr>"
            )
    schemas = []
    for name, schema in sorted(found["components"]["schemas"].items()):
        text = msgspec.json.format(msgspec.json.encode(schema), indent=2).decode()
        schemas.append(f"<h3 id='{name}'>{name}</h3><pre>{html.escape(text)}</pre>")
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>spendgate API</title>"
        "<style>body{font:15px/1.5 system-ui;max-width:70rem;margin:2rem auto;padding:0 1rem}"
        "td{padding:.2rem .8rem .2rem 0;vertical-align:top}pre{background:#f4f4f4;padding:1rem;"
        "overflow:auto}</style><h1>spendgate API</h1>"
        "<p>The machine-readable document is <a href='/openapi.json'>openapi.json</a>.</p>"
        f"<table>{''.join(rows)}</table><h2>Messages</h2>{''.join(schemas)}</html>"
    )
