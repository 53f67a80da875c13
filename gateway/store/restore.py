"""Rebuild a closed shard from values: how each is laid out, and in which commands."""

from __future__ import annotations

import struct
from collections import defaultdict

from gateway.core import names
from gateway.core.commands import Version
from gateway.core.counters import GAUGE
from gateway.core.holds import Hold, HoldStatus
from gateway.core.money import MAX_MICROS
from gateway.core.state import StoredResult
from gateway.store import keys
from gateway.store.pipeline import Argument
from gateway.store.port import UNDONE
from gateway.wire import records

PAIRS = 200
"""Keys and values in one command: Lua unpacks no more than some thousands."""
Command = tuple[Argument, ...]


class Restorer:
    """Commands that build shards, by shard.

    Times are Unix ms of the store's clock; 0 is never.
    """

    def __init__(self) -> None:
        self.commands: dict[int, list[Command]] = defaultdict(list)
        self._plain: dict[int, list[Argument]] = defaultdict(list)
        """Keys and values that never expire: many in one command."""
        self._gauges: dict[tuple[int, str, str], int] = defaultdict(int)
        self._slides: dict[tuple[int, str, str], dict[int, int]] = defaultdict(dict)
        """Buckets of rolling caps by shard, org and counter."""
        self._widths: dict[tuple[int, str, str], tuple[int, str]] = {}

    def _set(self, shard: int, key: str, value: Argument, expires_ms: int = 0) -> None:
        if expires_ms:
            self.commands[shard].append(("SET", key, value, "PXAT", expires_ms))
        else:
            self._plain[shard] += (key, value)

    def balance(self, shard: int, org: str, name: str, value: int, expires_ms: int) -> None:
        """Add a balance."""
        self._set(shard, keys.org_prefix(shard, org) + name, value, expires_ms)

    def window(
        self, shard: int, org: str, name: str, counts: tuple[int, int], expires_ms: int, index: str
    ) -> None:
        """Add a window's counter, (used, held), and its target to its `index` ("" for none)."""
        prefix = keys.org_prefix(shard, org)
        used, held = (min(MAX_MICROS, max(0, count)) for count in counts)
        self._set(shard, prefix + name, struct.pack("<dd", used, held), expires_ms)
        self._index(shard, org, name, index, expires_ms)

    def _index(self, shard: int, org: str, name: str, index: str, expires_ms: int) -> None:
        if index:
            commands, key = self.commands[shard], keys.org_prefix(shard, org) + index
            commands.append(("SADD", key, names.target_of(name)))
            if expires_ms:
                commands += [("PEXPIREAT", key, expires_ms, how) for how in ("NX", "GT")]

    def bucket(
        self,
        shard: int,
        org: str,
        count: int,
        name: str,
        number: int,
        period_ms: int,
        index: str,
    ) -> None:
        """Add one bucket of a rolling cap's counter; the two newest are what the counter keeps."""
        key = (shard, org, name)
        self._slides[key][number] = min(MAX_MICROS, max(0, count))
        self._widths[key] = (period_ms, index)

    def hold(self, shard: int, hold_id: str, hold: Hold, note: bytes, until_ms: int) -> None:
        """Add a hold that is open, or one that expired and may be captured until `until_ms`."""
        state = records.encode_hold(hold)
        value = struct.pack("<I", len(state)) + state + note
        self._set(shard, keys.hold(shard, hold_id), value, until_ms)
        if hold.state is HoldStatus.held:
            self.commands[shard].append(("ZADD", keys.due(shard), hold.expires_ms, hold_id))
            for entry in hold.counted:
                if entry.shape == GAUGE:
                    self._gauges[shard, hold.org, entry.name] += entry.amount

    def grant(self, shard: int, org: str, grant_id: str, meta: bytes, expires_ms: int) -> None:
        """Add what is known of a grant: its currency and metadata."""
        commands = self.commands[shard]
        commands.append(("HSET", keys.org_prefix(shard, org) + "grants", grant_id, meta))
        if expires_ms:
            commands.append(("ZADD", keys.due(shard), expires_ms, names.due_grant(org, grant_id)))

    def kept(self, shard: int, org: str, kept: StoredResult, out: bytes, body: bytes) -> None:
        """Add a result that is stored under an idempotency key."""
        value = kept.digest + struct.pack("<I", len(out)) + out + body
        self._set(shard, keys.org_prefix(shard, org) + kept.name, value, kept.expires_ms)

    def reversal(self, shard: int, org: str, decision_id: str, kept: str, until_ms: int) -> None:
        """Add the reversal of a decision, and delete its stored result ("" for none)."""
        if kept:
            self.commands[shard].append(("DEL", keys.org_prefix(shard, org) + kept))
        self._set(shard, keys.claim(shard, decision_id), UNDONE, until_ms)

    def version(self, shard: int, version: Version) -> None:
        """Add a version's fence."""
        self._set(shard, keys.version(shard, version), version.expected)

    def take(self) -> dict[int, list[Command]]:
        """Return the commands so far; those that follow begin anew."""
        taken, self.commands = self.commands, defaultdict(list)
        plain, self._plain = self._plain, defaultdict(list)
        for shard, pairs in plain.items():
            for at in range(0, len(pairs), PAIRS):
                taken[shard].append(("MSET", *pairs[at : at + PAIRS]))
        return taken

    def finish(self) -> None:
        """Add what follows from all rows together: gauges of holds, counters of rolling caps."""
        for (shard, org, name), buckets in self._slides.items():
            newest = max(buckets)
            period_ms, index = self._widths[shard, org, name]
            value = struct.pack("<ddd", newest, buckets[newest], buckets.get(newest - 1, 0))
            expires_ms = (newest + 2) * period_ms
            self._set(shard, keys.org_prefix(shard, org) + name, value, expires_ms)
            self._index(shard, org, name, index, expires_ms)
        self._slides.clear()
        for (shard, org, name), count in self._gauges.items():
            if count:
                self._set(shard, keys.org_prefix(shard, org) + name, count)
        self._gauges.clear()
