"""Hot state in the ledger: the state that a shard is rebuilt from, folded from its records.

Changes add up in memory and are saved every few seconds, so a hold that ends sooner is never
written. `row` says up to which record the saved state goes; after a crash the later records are
replayed on top of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, msgpack

from gateway.core import names
from gateway.core.commands import Ended, Moved, Outcome
from gateway.core.replay import Balance, Bucket, Changes, Given, OpenHold, Window, hold_of
from gateway.core.request_record import AdminNote, EndNote, RequestRecord
from gateway.ledger.pace import yielding
from gateway.wire import records
from gateway.wire.records import Decoded

BALANCE, WINDOW, BUCKET, HOLD, GRANT = "b", "w", "s", "h", "g"
HOT_GRACE_MS = 60_000
"""Time for which expired rows stay in the table: clocks may differ a little."""

HotKey = tuple[int, str, str, str]
"""Key of a row: (shard, kind, org, name)."""


class HotRow(Struct, frozen=True):
    """One item of the hot state. A save adds `a` and `b` to the stored row.

    A row with `is_partial` only changes a row that exists. A balance is `a`. A window's counter is
    `a` used and `b` held, with the window's index in `data`. A bucket of a rolling cap is `a`, with
    width and index in `data`; its name is the counter's and the bucket's number. A hold has in `a`
    the time until which it is kept (0: open), a grant has all in `data`; both are dropped before
    they are saved again.
    """

    shard: int
    kind: str
    org: str
    name: str
    a: int = 0
    b: int = 0
    expires_ms: int = 0
    data: bytes = b""
    is_partial: bool = False


class HotSave(Struct, frozen=True):
    """Changes of the hot state by records [from_row, upto_row): rows to drop first, rows to add."""

    drops: list[HotKey]
    rows: list[HotRow]
    from_row: int
    upto_row: int
    now_ms: int


_pack = msgpack.Encoder().encode
_standing = msgpack.Decoder(tuple[bytes, bytes])
_given = msgpack.Decoder(Given)
_bucket = msgpack.Decoder(tuple[int, str])


def open_hold_of(row: HotRow) -> OpenHold:
    """Decode the hold in a row."""
    hold, note = _standing.decode(row.data)
    return OpenHold(records.decode_hold(hold), note, row.a)


def given_of(row: HotRow) -> Given:
    """Decode the grant in a row."""
    return _given.decode(row.data)


class HotChanges:
    """Changes of the hot state since the last save, with the shards they belong to."""

    def __init__(self, row: int, late_capture_ms: int) -> None:
        self._late_capture_ms = late_capture_ms
        self._start(row)

    def _start(self, row: int) -> None:
        self.from_row = self.row = row
        self.now_ms = 0
        self._changes = Changes(self._late_capture_ms)
        self._shards: dict[str, int] = {}
        self._saved: dict[str, str] = {}

    def unknown(self, lines: Iterable[Decoded]) -> list[HotKey]:
        """Return the keys of holds that `learn` must load before these records can be applied."""
        wanted: dict[str, HotKey] = {}
        made: set[str] = set()
        for line, out, note in lines:
            if isinstance(note, RequestRecord) and not note.extends:
                made.add(note.hold_id)
            named = hold_of(out, note) if out is not None else ""
            if named and named not in made and not self._changes.knows(named):
                org = note.terms.org if isinstance(note, RequestRecord) else _org_of(out)
                wanted[named] = (line.shard, HOLD, org, named)
        return list(wanted.values())

    def learn(self, keys: Iterable[HotKey], rows: Iterable[HotRow]) -> None:
        """Load the saved holds of these keys; a hold without a row is unknown for good."""
        found = {row.name: row for row in rows}
        for _, _, org, name in keys:
            row = found.get(name)
            if row is not None:
                self._saved[name] = org
            self._changes.learn(name, open_hold_of(row) if row else None)

    def apply(self, lines: Iterable[Decoded]) -> None:
        """Apply records in their order; all holds that they need must be loaded."""
        for line, out, note in yielding(lines):
            self.row += 1
            if out is None:
                continue
            self.now_ms = max(self.now_ms, out.now_ms)
            if isinstance(out, Outcome) and isinstance(note, RequestRecord):
                self._shards[note.terms.org] = line.shard
                if out.allowed:
                    brief = records.brief_of(line.terms) + line.body
                    self._changes.outcome(note, out, brief)
            elif isinstance(out, Ended):
                self._shards[out.org] = line.shard
                self._changes.ended(out, note if isinstance(note, EndNote) else None)
            elif isinstance(out, Moved):
                self._shards[out.org] = line.shard
                grant = note.grant if isinstance(note, AdminNote) else None
                self._changes.moved(out, grant)

    def save(self) -> HotSave:
        """Return the changes to save, and start to collect the next ones after them."""
        drops: list[HotKey] = []
        rows: list[HotRow] = []
        shard = self._shards
        for (org, name), balance in self._changes.balances.items():
            self._balance((shard[org], BALANCE, org, name), balance, drops, rows)
        for (org, name), window in self._changes.windows.items():
            rows.append(_window_row(shard[org], org, name, window))
        for (org, name, number), bucket in self._changes.buckets.items():
            rows.append(_bucket_row(shard[org], org, names.join(name, str(number)), number, bucket))
        for name, standing in yielding(self._changes.holds()):
            if standing is not None:
                org = standing.hold.org
                data = _pack((records.encode_hold(standing.hold), standing.note))
                if name in self._saved:
                    # A save adds `a` to the stored row: without this drop it would add twice.
                    drops.append((shard[org], HOLD, org, name))
                until_ms = standing.until_ms
                rows.append(HotRow(shard[org], HOLD, org, name, until_ms, 0, until_ms, data))
            elif name in self._saved:
                org = self._saved[name]
                drops.append((shard[org], HOLD, org, name))
        for (org, name), given in self._changes.grants.items():
            drops.append((shard[org], GRANT, org, name))
            if given is not None:
                rows.append(HotRow(shard[org], GRANT, org, name, data=_pack(given)))
        found = HotSave(drops, rows, self.from_row, self.row, self.now_ms)
        self._start(self.row)
        return found

    @staticmethod
    def _balance(key: HotKey, balance: Balance, drops: list[HotKey], rows: list[HotRow]) -> None:
        if balance.is_gone:
            drops.append(key)
        else:
            made, expires_ms = balance.is_made, balance.expires_ms
            rows.append(HotRow(*key, balance.delta, 0, expires_ms, is_partial=not made))


def _window_row(shard: int, org: str, name: str, window: Window) -> HotRow:
    data, partial = window.index.encode(), not window.is_made
    numbers = (window.used, window.held, window.expires_ms)
    return HotRow(shard, WINDOW, org, name, *numbers, data, partial)


def _bucket_row(shard: int, org: str, name: str, number: int, bucket: Bucket) -> HotRow:
    data, partial = _pack((bucket.period_ms, bucket.index)), not bucket.is_made
    expires_ms = (number + 2) * bucket.period_ms
    return HotRow(shard, BUCKET, org, name, bucket.count, 0, expires_ms, data, partial)


def bucket_of(row: HotRow) -> tuple[str, int, int, str]:
    """Decode a rolling cap's bucket: its counter's name, its number, width in ms, and index."""
    counter, number = names.split(row.name)
    period_ms, index = _bucket.decode(row.data)
    return counter, int(number), period_ms, index


def _org_of(out: records.Out | None) -> str:
    return out.org if isinstance(out, Ended | Moved) else ""
