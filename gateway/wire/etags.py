"""Entity tags: what an answer looks like, in a few bytes (RFC 9110, 8.8.3)."""

from __future__ import annotations

import re
from hashlib import blake2b

from msgspec import json

from gateway.wire.answers.base import Answer

_tag = re.compile(r'\s*(W/)?("[^"]*")\s*(?:,|$)')


def etag_of(encoded: bytes) -> str:
    """Return the strong entity tag of an encoded answer: equal bytes have equal tags."""
    return f'"{blake2b(encoded, digest_size=12).hexdigest()}"'


def is_listed(header: str, answer: Answer | None, *, is_weak: bool = False) -> bool:
    """Return whether an If-Match or If-None-Match names an answer; None does not exist.

    `*` names whatever exists. A weak tag names nothing, as it does not promise equal bytes, unless
    the comparison `is_weak`, as that of If-None-Match is.
    """
    if answer is None:
        return False
    tags = {tag for weak, tag in _tag.findall(header) if is_weak or not weak}
    return "*" in header.replace(" ", "").split(",") or etag_of(json.encode(answer)) in tags
