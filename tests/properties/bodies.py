"""A whole body of every kind of message, and how to change one."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from gateway.wire import requests

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
    "tags": {"team": "search"},
}
METADATA = {"crm": "42"}
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

WHOLE: dict[type[requests.Message], dict[str, Any]] = {
    requests.Subject: SUBJECT,
    requests.Partial: PARTIAL,
    requests.Challenge: CHALLENGE,
    requests.Context: CONTEXT,
    requests.AuthorizeBody: AUTHORIZE,
    requests.BatchItem: {**AUTHORIZE, "idempotency_key": "k"},
    requests.BatchBody: {"requests": []},
    requests.CaptureBody: USE,
    requests.ExtendBody: {**USE, "hold_ttl_s": 60},
    requests.EmptyBody: {},
    requests.OutageBody: {"policy": "open", "max_open_micros": 5},
    requests.OrgBody: {
        "name": "Acme",
        "type": "startup",
        "plan": "payg",
        "currency": "USD",
        "credit_line_micros": 5,
        "outage": {"policy": "open", "max_open_micros": 5},
        "timezone": "Asia/Shanghai",
        "country": "CN",
        "status": "active",
        "metadata": METADATA,
    },
    requests.MemberBody: {"name": "x", "status": "suspended", "metadata": METADATA},
    requests.KeyBody: {
        "name": "x",
        "project": "p",
        "user": "u",
        "status": "disabled",
        "expires_at": LATER,
        "metadata": METADATA,
    },
    requests.GrantBody: {
        "amount_micros": 1,
        "kind": "paid",
        "priority": -3,
        "effective_at": FORTH,
        "expires_at": LATER,
        "products": ["gpt-4o"],
        "metadata": METADATA,
    },
    requests.AdjustmentBody: {
        "kind": "refund",
        "note": "sorry",
        "amount_micros": -5,
        "set_available_micros": 5,
    },
    requests.CapBody: CAP,
    requests.RateLimitBody: RATE_LIMIT,
    requests.PlanCap: {**CAP, "id": "c"},
    requests.PlanRateLimit: {**RATE_LIMIT, "id": "r"},
    requests.IncludedBody: INCLUDED,
    requests.PlanBody: {
        "rate_card": "default",
        "included": [INCLUDED],
        "caps": [{**CAP, "id": "c"}],
        "rate_limits": [{**RATE_LIMIT, "id": "r"}],
    },
    requests.CardVersionBody: {
        "effective_at": FORTH,
        "currency": "EUR",
        "products": {"free": {}, "gpt-4o": PRICES, "o1": {"input_tokens": 1}},
    },
    requests.ContractProduct: TERMS,
    requests.ContractBody: {
        "rate_card": "default",
        "version": "v1",
        "starts_at": FORTH,
        "ends_at": LATER,
        "discount_bps": 10_000,
        "products": {"free": {"allowed": False}, "gpt-4o": TERMS},
        "metadata": METADATA,
    },
    requests.CredentialBody: {
        "name": "x",
        "scopes": ["read", "admin"],
        "org": "acme",
        "expires_at": "2099-01-01T00:00:00Z",
        "allowed_networks": ["203.0.113.0/24"],
    },
    requests.RotateBody: {"overlap_s": 60},
    requests.RuleSetBody: {"text": "rules: []", "name": "first"},
    requests.ActivateBody: {"mode": "active", "percent": 5, "note": "trial", "force": True},
    requests.ModelBody: {"text": "{}"},
    requests.Thresholds: {"block": 0.9, "challenge": 0.7, "review": 0.5},
    requests.ActivateModelBody: {
        "mode": "active",
        "thresholds": {"block": 0.9, "challenge": 0.7, "review": 0.5},
        "note": "why",
        "force": True,
    },
    requests.LabelBody: {
        "decision": "dec_1",
        "label": "fraud",
        "observed_at": "2026-11-01T00:00:00Z",
        "note": "a stolen card",
    },
    requests.LabelsBody: {"labels": [{"decision": "dec_1", "label": "fraud"}]},
    requests.ReviewBody: {"label": "good", "note": "a customer of ten years"},
    requests.EventBody: {
        "type": "payment_declined",
        "subject": SUBJECT,
        "at": "2026-11-01T00:00:00Z",
        "amount_micros": 5,
        "context": CONTEXT,
    },
    requests.ItemBody: {"expires_at": LATER, "note": "seen"},
    requests.ListedItem: ITEM,
    requests.ItemsBody: {"items": [ITEM]},
    requests.SpanBody: {
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
    is_price_list = kind is requests.CardVersionBody and path[:-1] == ("products",)
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
