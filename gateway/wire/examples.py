"""Examples of whole messages: bodies written out, answers composed of their members' examples."""

from __future__ import annotations

from typing import Any

from gateway.wire.glossary import DECISION, LATER, TIME, member

SUBJECT = {"org": "acme", "user": "u_17"}
BODIES: dict[str, Any] = {
    "AuthorizeBody": {
        "subject": {"org": "acme", "project": "search", "user": "u_17", "key": "k_9"},
        "product": "gpt-4o",
        "quantity": {"input_tokens": 1200, "output_tokens": 800},
        "hold_ttl_s": 300,
        "context": {"ip": "203.0.113.9", "country": "DE"},
        "tags": {"team": "red"},
    },
    "BatchBody": {
        "requests": [
            {
                "subject": SUBJECT,
                "product": "gpt-4o",
                "quantity": {"input_tokens": 90},
                "idempotency_key": "req-1842",
            }
        ]
    },
    "CaptureBody": {"quantity": {"input_tokens": 1200, "output_tokens": 640}},
    "ExtendBody": {"quantity": {"output_tokens": 64}, "hold_ttl_s": 300},
    "EmptyBody": {},
    "OrgBody": {
        "name": "Acme",
        "type": "startup",
        "plan": "payg",
        "currency": "USD",
        "credit_line_micros": 5_000_000,
        "timezone": "Europe/Berlin",
        "metadata": {"crm": "42"},
    },
    "MemberBody": {"name": "Search", "metadata": {"cost_center": "7"}},
    "KeyBody": {"project": "search", "user": "u_17", "expires_at": LATER.replace("2026", "2099")},
    "GrantBody": {"amount_micros": 10_000_000, "kind": "paid", "metadata": {"invoice": "1042"}},
    "AdjustmentBody": {"kind": "correction", "note": "billed twice", "amount_micros": 250_000},
    "CapBody": {
        "level": "user",
        "window": "day",
        "limit_micros": 5_000_000,
        "mode": "hard",
        "alert_at": [80, 100],
    },
    "RateLimitBody": {"level": "key", "unit": "requests", "limit": 600, "window_s": 60},
    "ContractBody": {
        "rate_card": "default",
        "version": "v1",
        "starts_at": TIME,
        "discount_bps": 500,
        "products": {"gpt-4o": {"discount_bps": 1000}},
    },
    "CardVersionBody": {
        "effective_at": TIME,
        "currency": "USD",
        "products": {"gpt-4o": {"input_tokens": 2_500_000, "output_tokens": 10_000_000}},
    },
    "PlanBody": {
        "rate_card": "default",
        "included": [{"id": "monthly", "amount_micros": 1_000_000, "period": "month"}],
        "caps": [{"id": "day", "level": "org", "window": "day", "limit_micros": 20_000_000}],
        "rate_limits": [{"id": "rpm", "level": "org", "unit": "requests", "limit": 600}],
    },
    "CredentialBody": {"name": "frontend", "scopes": ["authorize"], "org": "acme"},
    "RotateBody": {"overlap_s": 3600},
    "RuleSetBody": {
        "text": "rules:\n  - id: large\n    action: review\n    when: amount > 5 USD\n"
        "    reason: a large request\n",
        "name": "first rules",
    },
    "ActivateBody": {"mode": "shadow", "note": "to see what it would do"},
    "SpanBody": {"from": TIME, "to": LATER},
    "ModelBody": {"text": "what `spendgate models train` wrote"},
    "ActivateModelBody": {"mode": "shadow"},
    "LabelBody": {"decision": DECISION, "label": "fraud", "note": "chargeback"},
    "LabelsBody": {"labels": [{"decision": DECISION, "label": "good"}]},
    "ReviewBody": {"label": "good", "note": "known customer"},
    "EventBody": {"type": "login", "subject": SUBJECT, "context": {"ip": "203.0.113.9"}},
    "ItemBody": {"note": "seen in two chargebacks"},
    "ItemsBody": {
        "items": [{"value": "203.0.113.0/24", "expires_at": LATER.replace("2026", "2099")}]
    },
}
"""A body of each kind, as a caller would write it."""
PATCHES: dict[str, Any] = {
    "OrgBody": {"name": "Acme Ltd", "metadata": {"tier": "gold"}},
    "MemberBody": {"status": "suspended"},
    "KeyBody": {"status": "disabled"},
    "CapBody": {"limit_micros": 7_000_000},
    "RateLimitBody": {"limit": 900},
    "ContractBody": {"discount_bps": 700},
    "PlanBody": {"rate_limits": []},
}
"""A merge patch of each kind of body that has one."""
DEPTH = 6
SCHEMAS = "#/components/schemas/"
"""Begin of every reference in the document."""


def example_of(schema: dict[str, Any], schemas: dict[str, Any], depth: int = DEPTH) -> Any:
    """Compose an example that a schema accepts; `schemas` has those that it refers to."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(SCHEMAS)
        return _object(name, schemas[name], schemas, depth - 1)
    for choices in (schema.get("anyOf"), schema.get("oneOf")):
        if choices:
            return example_of(next(c for c in choices if c.get("type") != "null"), schemas, depth)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "array":
        return (
            [example_of(schema["items"], schemas, depth)] if schema.get("items") and depth else []
        )
    if kind == "object":
        of = schema.get("additionalProperties")
        return {"name": example_of(of, schemas, depth)} if isinstance(of, dict) and depth else {}
    return {"string": "text", "integer": 1, "number": 0.5, "boolean": False}.get(kind or "")


def _object(message: str, schema: dict[str, Any], schemas: dict[str, Any], depth: int) -> Any:
    if message in BODIES:
        return BODIES[message]
    found = {}
    for name, of in schema.get("properties", {}).items():
        row = member(message, name)
        is_enum = "enum" in of and (row is None or row.example not in of["enum"])
        if row is not None and row.example is not None and not is_enum:
            found[name] = row.example
        elif name in schema.get("required", ()):
            found[name] = None if _may_be_null(of) and not depth else example_of(of, schemas, depth)
    return found


def _may_be_null(schema: dict[str, Any]) -> bool:
    return any(choice.get("type") == "null" for choice in schema.get("anyOf", ()))
