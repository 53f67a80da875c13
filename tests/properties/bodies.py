"""A whole body of every kind of message, and how to change one."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from gateway.wire import requests as messages

FORTH = "2020-01-01T00:00:00Z"
LATER = "2030-01-01T00:00:00.500+02:00"
SUBJECT = {"org": "acme", "project": "search", "user": "u_17", "key": "k_9"}
PARTIAL = {"unit": "output_tokens", "at_least": 64}
CHALLENGE = {"decision": "dec_01ABC", "passed": True}
CONTEXT = {
    "ip": "203.0.113.9",
    "country": "DE",
    "asn": 64500,
    "device": "d_1",
    "email_domain": "example.com",
    "user_agent": "curl/8",
}
AUTHORIZE = {
    "subject": SUBJECT,
    "product": "gpt-4o",
    "quantity": {"input_tokens": 1200, "output_tokens": 800},
    "amount_micros": 5,
    "capture": False,
    "hold_ttl_s": 300,
    "partial": PARTIAL,
    "run": "agent-run-42",
    "challenge": CHALLENGE,
    "context": CONTEXT,
    "dry_run": False,
}
CAP = {
    "level": "org",
    "window": "day",
    "limit_micros": 10,
    "target": "u_1",
    "mode": "soft",
    "products": ["gpt-4o"],
    "alert_at": [50, 80],
}
RATE_LIMIT = {"level": "user", "unit": "tokens", "limit": 9, "target": "u_1", "window_s": 60}
INCLUDED = {
    "id": "monthly",
    "amount_micros": 1,
    "period": "month",
    "products": ["gpt-4o"],
    "rollover": True,
}
PRICES = {"input_tokens": 2_500_000, "output_tokens": 10_000_000}
TERMS = {"discount_bps": 100, "prices": PRICES, "allowed": True}
USE = {"quantity": {"input_tokens": 3}, "amount_micros": 7}

ITEM = {"value": "203.0.113.0/24", "expires_at": LATER, "note": "seen"}

WHOLE: dict[type[messages.Message], dict[str, Any]] = {
    messages.Subject: SUBJECT,
    messages.Partial: PARTIAL,
    messages.Challenge: CHALLENGE,
    messages.Context: CONTEXT,
    messages.AuthorizeBody: AUTHORIZE,
    messages.BatchItem: {**AUTHORIZE, "idempotency_key": "k"},
    messages.BatchBody: {"requests": []},
    messages.CaptureBody: USE,
    messages.ExtendBody: {**USE, "hold_ttl_s": 60},
    messages.EmptyBody: {},
    messages.OutageBody: {"policy": "open", "max_open_micros": 5},
    messages.OrgBody: {
        "name": "Acme",
        "type": "startup",
        "plan": "payg",
        "currency": "USD",
        "credit_line_micros": 5,
        "outage": {"policy": "open", "max_open_micros": 5},
        "timezone": "Asia/Shanghai",
        "country": "CN",
        "status": "active",
    },
    messages.MemberBody: {"name": "x", "status": "suspended"},
    messages.KeyBody: {
        "name": "x",
        "project": "p",
        "user": "u",
        "status": "disabled",
        "expires_at": LATER,
    },
    messages.GrantBody: {
        "amount_micros": 1,
        "kind": "paid",
        "priority": -3,
        "effective_at": FORTH,
        "expires_at": LATER,
        "products": ["gpt-4o"],
    },
    messages.AdjustmentBody: {
        "kind": "refund",
        "note": "sorry",
        "amount_micros": -5,
        "set_available_micros": 5,
    },
    messages.CapBody: CAP,
    messages.RateLimitBody: RATE_LIMIT,
    messages.PlanCap: {**CAP, "id": "c"},
    messages.PlanRateLimit: {**RATE_LIMIT, "id": "r"},
    messages.IncludedBody: INCLUDED,
    messages.PlanBody: {
        "rate_card": "default",
        "included": [INCLUDED],
        "caps": [{**CAP, "id": "c"}],
        "rate_limits": [{**RATE_LIMIT, "id": "r"}],
    },
    messages.CardVersionBody: {
        "effective_at": FORTH,
        "currency": "EUR",
        "products": {"free": {}, "gpt-4o": PRICES, "o1": {"input_tokens": 1}},
    },
    messages.ContractProduct: TERMS,
    messages.ContractBody: {
        "rate_card": "default",
        "version": "v1",
        "starts_at": FORTH,
        "ends_at": LATER,
        "discount_bps": 10_000,
        "products": {"free": {"allowed": False}, "gpt-4o": TERMS},
    },
    messages.CredentialBody: {
        "name": "x",
        "scopes": ["read", "admin"],
        "org": "acme",
        "expires_at": "2099-01-01T00:00:00Z",
        "allowed_networks": ["203.0.113.0/24"],
    },
    messages.RotateBody: {"overlap_s": 60},
    messages.RuleSetBody: {"text": "rules: []", "name": "first"},
    messages.ActivateBody: {"mode": "active", "percent": 5, "note": "trial", "force": True},
    messages.ModelBody: {"text": "{}"},
    messages.Thresholds: {"block": 0.9, "challenge": 0.7, "review": 0.5},
    messages.ActivateModelBody: {
        "mode": "active",
        "thresholds": {"block": 0.9, "challenge": 0.7, "review": 0.5},
        "note": "why",
        "force": True,
    },
    messages.LabelBody: {
        "decision": "dec_1",
        "label": "fraud",
        "observed_at": "2026-11-01T00:00:00Z",
        "note": "a stolen card",
    },
    messages.LabelsBody: {"labels": [{"decision": "dec_1", "label": "fraud"}]},
    messages.ReviewBody: {"label": "good", "note": "a customer of ten years"},
    messages.EventBody: {
        "type": "payment_declined",
        "subject": SUBJECT,
        "at": "2026-11-01T00:00:00Z",
        "amount_micros": 5,
        "context": CONTEXT,
    },
    messages.ItemBody: {"expires_at": LATER, "note": "seen"},
    messages.ListedItem: ITEM,
    messages.ItemsBody: {"items": [ITEM]},
    messages.SpanBody: {
        "from": "2026-11-01T00:00:00Z",
        "to": "2026-11-02T00:00:00Z",
        "labels_by": LATER,
    },
}
"""A body with every member, of every kind of message."""

Path = tuple[str | int, ...]


def places(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value inside a JSON value, with the way to it."""
    yield path, value
    members = value.items() if isinstance(value, dict) else ()
    members = enumerate(value) if isinstance(value, list) else members
    for name, member in members:
        yield from places(member, (*path, name))


def is_map(kind: type[Any], path: Path) -> bool:
    """Whether the caller names the members of what stands there."""
    is_price_list = kind is messages.CardVersionBody and path[:-1] == ("products",)
    return is_price_list or path[-1:] in (("quantity",), ("products",), ("prices",))


def changed(body: Any, path: Path, value: Any) -> Any:
    """The body with the value at a place replaced."""
    if not path:
        return value
    body = copy.deepcopy(body)
    at = body
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    return body


def pointer_of(path: Path) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def encoded(body: Any) -> bytes:
    return json.dumps(body).encode()
