"""The OpenAPI document, made from the message types and the glossary."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.errors import PROBLEMS
from gateway.wire.examples import BODIES, PATCHES, SCHEMAS, example_of
from gateway.wire.fields import Patch
from gateway.wire.glossary import member
from gateway.wire.ids import NAME_PATTERN, VISIBLE
from gateway.wire.problems import TYPE_PREFIX, Problem
from gateway.wire.requests.spend import BatchItem

WORLD = ("org", "project", "user", "key", "value")
"""Parts of paths that may be any text."""
PATH_PARTS = {
    "org": "id of the org, percent-encoded",
    "project": "id of the project, percent-encoded",
    "user": "id of the user, percent-encoded",
    "key": "id of the key, percent-encoded",
    "id": "id of the object",
    "version": "name of the version",
    "name": "name of the list",
    "value": "an id, address, network, asn, device or mail domain",
    "decision": "id of the decision",
}
TAGS = {
    "/v1/authorize": ("Authorize", "May this subject spend this much now? A denial is a 200."),
    "/v1/holds": ("Holds", "Money set aside: capture, extend, release, list."),
    "/v1/orgs": ("Accounts", "Orgs, members, limits, contracts, funds, balance and usage."),
    "/v1/rate_cards": ("Prices", "Rate cards: a version never changes."),
    "/v1/plans": ("Prices", "Rate cards: a version never changes."),
    "/v1/ledger": ("Ledger", "The double-entry books of all orgs."),
    "/v1/decisions": ("Decisions", "What was decided, and why."),
    "/v1/reviews": ("Decisions", "What was decided, and why."),
    "/v1/labels": ("Decisions", "What was decided, and why."),
    "/v1/rulesets": ("Rules and models", "What assesses requests: submit, backtest, activate."),
    "/v1/backtests": ("Rules and models", "What assesses requests: submit, backtest, activate."),
    "/v1/models": ("Rules and models", "What assesses requests: submit, backtest, activate."),
    "/v1/events": ("Events and lists", "What the business knows of its customers."),
    "/v1/lists": ("Events and lists", "What the business knows of its customers."),
    "/v1/credentials": ("Credentials", "Who may call, and for what."),
    "/v1/audit": ("Credentials", "Who may call, and for what."),
}
"""Group of each path, by its begin."""
CONDITIONS = {
    "If-Match": "entity tags of the state to change; another state is 412",
    "If-None-Match": "`*` creates and never changes: what exists is 412",
}
REF = SCHEMAS + "{name}"


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
    order: str = ""
    bound_scopes: tuple[str, ...] = ()
    by_metadata: bool = False
    has_etag: bool = False
    is_conditional: bool = False


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
    for name, schema in schemas.items():
        _describe(name, schema)
    paths: dict[str, Any] = {}
    for operation in operations:
        shown = _operation(operation, schemas)
        paths.setdefault(operation.path, {})[operation.method.lower()] = shown
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "spendgate",
            "version": version,
            "description": "Real-time spend control. A denial is an answer (200), not an error.",
        },
        "tags": [{"name": name, "description": of} for name, of in dict(TAGS.values()).items()],
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
    members = {name: _patched(of) for name, of in put["properties"].items()}
    return shown | {"title": _patch_name(kind), "description": about, "properties": members}


def _patched(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a member in a merge patch: inside an object null removes a member."""
    if "anyOf" in schema:
        return schema | {"anyOf": [_patched(choice) for choice in schema["anyOf"]]}
    if "$ref" in schema:
        return {"type": "object"}
    of = schema.get("additionalProperties")
    if not isinstance(of, dict):
        return schema
    inner = {"type": "object"} if "$ref" in of else of
    return schema | {"additionalProperties": {"anyOf": [inner, {"type": "null"}]}}


def _describe(message: str, schema: dict[str, Any]) -> None:
    """Say of each member what the glossary says; a type's own words come first."""
    of = message.removesuffix("Patch") + "Body" if message.endswith("Patch") else message
    for name, property_ in schema.get("properties", {}).items():
        row = member(of, name)
        if row is not None:
            own = property_.get("description")
            property_["description"] = f"{row.meaning} {own}" if own else row.meaning


def tag_of(path: str) -> tuple[str, str]:
    """Name and meaning of the group that a path belongs to."""
    return next(tag for begin, tag in TAGS.items() if path.startswith(begin))


def _operation(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PATH_PARTS[name],
            "schema": {"type": "string", "pattern": VISIBLE if name in WORLD else NAME_PATTERN},
        }
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    parameters += [
        {"name": name, "in": "query", "description": meaning, "schema": {"type": "string"}}
        for name, meaning in operation.query.items()
    ]
    if operation.is_conditional:
        parameters += [
            {"name": name, "in": "header", "description": meaning, "schema": {"type": "string"}}
            for name, meaning in CONDITIONS.items()
        ]
    if operation.method == "POST":
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "the same call under the same key has one effect and one answer",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            }
        )
    found: dict[str, Any] = {
        "tags": [tag_of(operation.path)[0]],
        "summary": operation.summary,
        "description": f"{_whole(operation)} {_scopes(operation)}",
        "operationId": _name(operation),
        "parameters": parameters,
        "responses": _responses(operation, schemas),
    }
    if operation.patches is not None:
        reference = {"$ref": REF.format(name=_patch_name(operation.patches))}
        kinds = ("application/merge-patch+json", "application/json")
        shown = {"example": PATCHES[operation.patches.__name__]}
        content = {kind: {"schema": reference, **shown} for kind in kinds}
        found["requestBody"] = {"required": True, "content": content}
    elif operation.body is not None:
        example = BODIES[operation.body.__name__]
        shown = {"schema": _reference(operation.body), "example": example}
        content = {"application/json": shown}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _scopes(operation: Operation) -> str:
    found = f"Scope: {' or '.join(operation.scopes)}"
    if operation.bound_scopes:
        found += f"; of its own org, a credential bound to one: {', '.join(operation.bound_scopes)}"
    return found + "."


def _whole(operation: Operation) -> str:
    """A sentence on what an operation answers."""
    if operation.method == "PATCH":
        return "Changes what the merge patch names; null sets a member to its default."
    if operation.method == "PUT":
        return "Creates it, or changes what the body names; null sets a member to its default."
    if operation.answer is None:
        return "Answers 204 without a body."
    kind = getattr(operation.answer, "__origin__", operation.answer)
    order = f" It lists {operation.order}." if operation.order else ""
    if operation.by_metadata:
        order += " `?metadata.<name>=<value>` selects those with this metadata."
    return "Answers: " + str(kind.__doc__).strip().splitlines()[0] + order


def _name(operation: Operation) -> str:
    words = re.findall(r"\w+", operation.path.replace("v1", ""))
    return "_".join([operation.method.lower(), *words])


def _responses(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    example = example_of(_reference(Problem), schemas)
    problem = {"application/problem+json": {"schema": _reference(Problem), "example": example}}
    faults = {401, 403, 404, 422, 503, *(s for s in operation.statuses if s >= 400)}
    if operation.body is not None:
        faults |= {400, 408, 413, 415}
    if operation.is_conditional:
        faults.add(412)
    responses: dict[str, Any] = {
        str(status): {"description": "a fault", "content": problem} for status in sorted(faults)
    }
    if operation.answer is None:
        responses["204"] = {"description": "done"}
    else:
        reference = _reference(operation.answer)
        shown = {"schema": reference, "example": example_of(reference, schemas)}
        content = {"application/json": shown}
        for status in (200, *(s for s in operation.statuses if s < 400)):
            responses[str(status)] = {"description": "the answer", "content": content}
            if operation.has_etag:
                responses[str(status)]["headers"] = {"ETag": {"schema": {"type": "string"}}}
    return responses
