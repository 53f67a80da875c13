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


def is_listed(header: str, answer: Answer | None) -> bool:
    """Return whether an If-Match or If-None-Match names an answer; None does not exist.

    `*` names whatever exists. A weak tag names nothing: it does not promise equal bytes.
    """
    if answer is None:
        return False
    strong = {tag for weak, tag in _tag.findall(header) if not weak}
    return header.strip() == "*" or etag_of(json.encode(answer)) in strong
