"""A whole body of every kind of message, and how to change one."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from gateway.wire.ids import Identified, Message
from gateway.wire.requests import accounts, risk, spend
from gateway.wire.requests.accounts import (
    AdjustmentBody,
    CapBody,
    CardVersionBody,
    ContractBody,
    ContractProduct,
    CredentialBody,
    ForBody,
    GrantBody,
    IncludedBody,
    KeyBody,
    MemberBody,
    OrgBody,
    OutageBody,
    PlanBody,
    PlanCap,
    PlanRateLimit,
    RateLimitBody,
    RotateBody,
)
from gateway.wire.requests.risk import (
    ActivateBody,
    ActivateModelBody,
    EventBody,
    ItemBody,
    ItemsBody,
    LabelBody,
    LabelsBody,
    ListedItem,
    ModelBody,
    ReviewBody,
    RuleSetBody,
    SpanBody,
    Thresholds,
)
from gateway.wire.requests.spend import (
    AuthorizeBody,
    BatchBody,
    BatchItem,
    CaptureBody,
    Challenge,
    Context,
    EmptyBody,
    ExtendBody,
    Partial,
    Subject,
)

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
    "window_s": 60,
    "limit_micros": 10,
    "units": ["images"],
    "limit": 7,
    "target": "u_1",
    "mode": "soft",
    "products": ["gpt-4o"],
    "alert_at": [50, 80],
}
RATE_LIMIT = {
    "level": "user",
    "unit": "tokens",
    "units": ["images"],
    "limit": 9,
    "target": "u_1",
    "window_s": 60,
}
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

BODIES = {
    kind
    for module in (accounts, risk, spend)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Message) and kind not in (Message, Identified)
}
"""Every kind of message."""
WHOLE: dict[type[Message], dict[str, Any]] = {
    Subject: SUBJECT,
    Partial: PARTIAL,
    Challenge: CHALLENGE,
    Context: CONTEXT,
    AuthorizeBody: AUTHORIZE,
    BatchItem: {**AUTHORIZE, "idempotency_key": "k"},
    BatchBody: {"requests": []},
    CaptureBody: USE,
    ExtendBody: {**USE, "hold_ttl_s": 60},
    EmptyBody: {},
    OutageBody: {"policy": "open", "max_open_micros": 5},
    OrgBody: {
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
    MemberBody: {"name": "x", "status": "suspended", "metadata": METADATA},
    KeyBody: {
        "name": "x",
        "project": "p",
        "user": "u",
        "status": "disabled",
        "expires_at": LATER,
        "metadata": METADATA,
    },
    ForBody: {"project": "search", "user": "u_1", "key": "k_1"},
    GrantBody: {
        "for": {"user": "u_1"},
        "amount_micros": 1,
        "kind": "paid",
        "priority": -3,
        "effective_at": FORTH,
        "expires_at": LATER,
        "products": ["gpt-4o"],
        "metadata": METADATA,
    },
    AdjustmentBody: {
        "kind": "refund",
        "note": "sorry",
        "amount_micros": -5,
        "set_available_micros": 5,
    },
    CapBody: CAP,
    RateLimitBody: RATE_LIMIT,
    PlanCap: {**CAP, "id": "c"},
    PlanRateLimit: {**RATE_LIMIT, "id": "r"},
    IncludedBody: INCLUDED,
    PlanBody: {
        "rate_card": "default",
        "included": [INCLUDED],
        "caps": [{**CAP, "id": "c"}],
        "rate_limits": [{**RATE_LIMIT, "id": "r"}],
    },
    CardVersionBody: {
        "effective_at": FORTH,
        "currency": "EUR",
        "products": {"free": {}, "gpt-4o": PRICES, "o1": {"input_tokens": 1}},
    },
    ContractProduct: TERMS,
    ContractBody: {
        "rate_card": "default",
        "version": "v1",
        "starts_at": FORTH,
        "ends_at": LATER,
        "discount_bps": 10_000,
        "products": {"free": {"allowed": False}, "gpt-4o": TERMS},
        "metadata": METADATA,
    },
    CredentialBody: {
        "name": "x",
        "scopes": ["read", "admin"],
        "org": "acme",
        "expires_at": "2099-01-01T00:00:00Z",
        "allowed_networks": ["203.0.113.0/24"],
    },
    RotateBody: {"overlap_s": 60},
    RuleSetBody: {"text": "rules: []", "name": "first"},
    ActivateBody: {"mode": "active", "percent": 5, "note": "trial", "force": True},
    ModelBody: {"text": "{}"},
    Thresholds: {"block": 0.9, "challenge": 0.7, "review": 0.5},
    ActivateModelBody: {
        "mode": "active",
        "thresholds": {"block": 0.9, "challenge": 0.7, "review": 0.5},
        "note": "why",
        "force": True,
    },
    LabelBody: {
        "decision": "dec_1",
        "label": "fraud",
        "observed_at": "2026-11-01T00:00:00Z",
        "note": "a stolen card",
    },
    LabelsBody: {"labels": [{"decision": "dec_1", "label": "fraud"}]},
    ReviewBody: {"label": "good", "note": "a customer of ten years"},
    EventBody: {
        "type": "payment_declined",
        "subject": SUBJECT,
        "at": "2026-11-01T00:00:00Z",
        "amount_micros": 5,
        "context": CONTEXT,
    },
    ItemBody: {"expires_at": LATER, "note": "seen"},
    ListedItem: ITEM,
    ItemsBody: {"items": [ITEM]},
    SpanBody: {
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


MAPS = (("quantity",), ("products",), ("prices",), ("metadata",), ("tags",))


def is_map(kind: type[Any], path: Path) -> bool:
    """Whether the caller names the members of what stands there."""
    is_price_list = kind is CardVersionBody and path[:-1] == ("products",)
    return is_price_list or path[-1:] in MAPS


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
