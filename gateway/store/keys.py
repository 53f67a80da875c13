"""The joining of keys, here and nowhere else; every key of an org carries its shard's hash tag.

`{s7}/<org>/<name>` is an org's, `{s7}//<name>` the shard's own, `{e7}/<name>` of an entity that
many orgs share. Ids are escaped as `gateway.core.names` says, so no id reads as structure.
`lua/include/keys.lua` is the copy for functions that learn only inside the store whose key it is.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b

from gateway.core import names
from gateway.core.commands import Version

SHARDS = 256
"""Logical shards, fixed per deployment: the hash tag of every org depends on their number."""


@lru_cache(maxsize=65_536)
def shard_of(org: str) -> int:
    """Return the shard of an org, or of a shared entity: stable over versions and machines."""
    return int.from_bytes(blake2b(org.encode(), digest_size=4).digest(), "big") % SHARDS


def tag(shard: int) -> str:
    """Return the hash tag of a shard."""
    return f"{{s{shard}}}"


def stream(shard: int) -> str:
    """Return the key of the shard's stream of records."""
    return f"{{s{shard}}}//stream"


def due(shard: int) -> str:
    """Return the key of the sorted set of what ends when."""
    return f"{{s{shard}}}//due"


def epoch(shard: int) -> str:
    """Return the key of the shard's epoch; a shard without one is closed."""
    return f"{{s{shard}}}//epoch"


def lock(shard: int) -> str:
    """Return the key of the holder of the right to open the shard."""
    return f"{{s{shard}}}//lock"


def offers(shard: int) -> str:
    """Return the key of acknowledged records that were offered while the shard is closed."""
    return f"{{s{shard}}}//offers"


def shard_in(key: str) -> int | None:
    """Return the shard that a key belongs to, or None where it is none of a shard's."""
    found = re.match(r"{s(\d+)}", key)
    return int(found[1]) if found else None


def hold(shard: int, hold_id: str) -> str:
    """Return the key of a hold."""
    return f"{{s{shard}}}//hold/{hold_id}"


def claim(shard: int, decision_id: str) -> str:
    """Return the key of the fate of an unacknowledged decision."""
    return f"{{s{shard}}}//claim/{decision_id}"


def deployment() -> str:
    """Return the key of the store's owner, and of how far the store is booked.

    It is no shard's, so no shard's wipe removes it.
    """
    return "{d}/deployment"


def mark() -> str:
    """Return a key that is set to have something to wait for."""
    return f"{tag(0)}//mark"


def nothing(shard: int) -> str:
    """Return a key that never exists, for a call that has no use for one."""
    return f"{{s{shard}}}//nothing"


@lru_cache(maxsize=65_536)
def org_prefix(shard: int, org: str) -> str:
    """Return what all keys of an org begin with."""
    return f"{{s{shard}}}/{names.escape(org)}/"


def version(shard: int, of: Version) -> str:
    """Return the key of a version's fence: the org's own, or the shard's of a plan or rate card."""
    if of.kind in ("org", "grants"):
        return f"{org_prefix(shard, of.id)}v.{of.kind}"
    return f"{{s{shard}}}//v.{of.kind}/{names.escape(of.id)}"


def velocity(shard: int, org: str, name: str) -> str:
    """Return the key of a velocity counter.

    An org's own is in its shard; a shared one ("" for the org) is in the shard of its own name.
    """
    if org:
        return f"{org_prefix(shard, org)}{name}"
    return f"{{e{shard_of(name)}}}/{name}"
