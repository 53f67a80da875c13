"""Apply a JSON merge patch (RFC 7396) to an object as callers read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from msgspec import to_builtins

from gateway.wire.answers.base import Answer
from gateway.wire.decode import convert
from gateway.wire.ids import Message

B = TypeVar("B", bound=Message)


def patched(patch: dict[str, Any], before: Answer, kind: type[B], required: Iterable[str]) -> B:
    """Build the PUT body that changes an object as a patch says. Raises CallerError 422.

    A PUT keeps what it does not name, so the body has only the patched members, and those that a
    PUT requires. A member that is an object is merged; null sets a member to its default.
    """
    shown: dict[str, Any] = to_builtins(before)
    if shown.get("outage") is not None and patch.get("outage") == {"policy": "closed"}:
        # A closed policy has no amount: the one that is shown goes with the policy it was of.
        shown = shown | {"outage": {}}
    body = {name: shown[name] for name in required if shown.get(name) is not None}
    body |= {name: _merged(shown.get(name), value) for name, value in patch.items()}
    return convert(body, kind)


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged
