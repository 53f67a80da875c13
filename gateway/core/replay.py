"""Changes that records made to the hot state, to rebuild it without the store.

Changes add up: they need not know the state before them, only the hold that an end or extend is
about. Rate limits and signals are left out; they may start anew. Caps are not, rolling ones too.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from gateway.core.caps import FREE_HELD, HELD, WINDOW_GRACE_MS, is_cap
from gateway.core.commands import Ended, Mode, Moved, Outcome
from gateway.core.counters import GAUGE, MONEY, SET_ASIDE, SLIDING, WINDOW
from gateway.core.entities import Grant
from gateway.core.funding import grant_name
from gateway.core.holds import Counted, Hold, HoldStatus, Taken, add_counted, add_taken, final_parts
from gateway.core.limits import finals_of
from gateway.core.names import index_of, is_collective
from gateway.core.request_record import EndNote, LimitTerms, RequestRecord
from gateway.core.sources import ADJUSTMENTS, SHORTFALL

Cell = tuple[str, str]
"""An org and the name of one of its cells."""


class Balance(Struct):
    """Amount added to a balance; with `is_gone`, the balance ended before that.

    Without `is_made` it is no balance by itself: the amount returned to one that existed before.
    """

    delta: int = 0
    expires_ms: int = 0
    is_gone: bool = False
    is_made: bool = False


class Window(Struct):
    """Amount added to a window's counter; `index` names the set of its targets ("": none).

    Without `is_made` it is no counter by itself: a hold that counted in one ended.
    """

    used: int = 0
    held: int = 0
    expires_ms: int = 0
    index: str = ""
    is_made: bool = False


class Bucket(Struct):
    """Amount added to one bucket of a rolling cap's counter of `period_ms` width.

    `index` and `is_made` as for a window.
    """

    count: int = 0
    period_ms: int = 0
    index: str = ""
    is_made: bool = False


class OpenHold(Struct):
    """A hold that can still end, and what was asked for it.

    `until_ms` is when it is gone (Unix ms), or 0.
    """

    hold: Hold
    note: bytes
    until_ms: int = 0


class Made(Struct, frozen=True):
    """A hold as it was made, not yet built from its record: most end before that is needed."""

    asked: RequestRecord
    out: Outcome
    note: bytes


class Given(Struct):
    """A grant and its currency."""

    currency: str
    grant: Grant


def hold_of(out: Outcome | Ended | Moved, note: object) -> str:
    """Return the id of the hold that must be known to replay a record; "" when none must."""
    if isinstance(out, Ended):
        return out.hold_id
    if isinstance(note, RequestRecord) and note.extends and out_allows(out):
        return note.hold_id
    return ""


def out_allows(out: Outcome | Ended | Moved) -> bool:
    """Return whether a record moved anything."""
    return not isinstance(out, Outcome) or out.allowed


class Changes:
    """The changes that some records made, in their order.

    `late_capture_ms` is how long after its expiry a hold can be captured.
    """

    def __init__(self, late_capture_ms: int) -> None:
        self._late_capture_ms = late_capture_ms
        self.balances: dict[Cell, Balance] = {}
        self.windows: dict[Cell, Window] = {}
        self.buckets: dict[tuple[str, str, int], Bucket] = {}
        """Changes of rolling caps by org, counter and bucket."""
        self._holds: dict[str, OpenHold | Made | None] = {}
        self.grants: dict[Cell, Given | None] = {}

    def learn(self, hold_id: str, standing: OpenHold | None) -> None:
        """Take in a hold as it was before these changes, unless it was changed already."""
        self._holds.setdefault(hold_id, standing)

    def knows(self, hold_id: str) -> bool:
        """Return whether anything is known of a hold, even if only that it has ended."""
        return hold_id in self._holds

    def holds(self) -> Iterator[tuple[str, OpenHold | None]]:
        """Yield every known hold as it is after the changes; None for one that has ended."""
        for hold_id in self._holds:
            yield hold_id, self._open_hold(hold_id)

    def _open_hold(self, hold_id: str) -> OpenHold | None:
        found = self._holds.get(hold_id)
        if isinstance(found, Made):
            terms, held = found.asked.terms, int(HoldStatus.held)
            whose = (terms.org, terms.book, terms.currency, terms.product)
            hold = Hold(held, *whose, 0, found.out.now_ms, 0, [], [])
            _grow(hold, found.asked, found.out)
            found = self._holds[hold_id] = OpenHold(hold, found.note)
        return found

    def outcome(self, asked: RequestRecord, out: Outcome, note: bytes) -> None:
        """Add an authorize or extend; `note` is what its hold remembers."""
        if not out.allowed or asked.mode == Mode.DRY:
            return
        org, settles = asked.terms.org, asked.mode == Mode.CAPTURE
        for source, part in zip(asked.terms.sources, out.draws, strict=False):
            if part:
                self._pay(org, source.name, -part, source.expires_ms)
        least_ms = out.hold_expires_ms + WINDOW_GRACE_MS if out.hold_expires_ms else 0
        for limit in asked.terms.limits:
            row = limit.row
            if row.shape == WINDOW:
                window, share = self._window(org, limit, least_ms), asked.shares[limit.measure]
                window.used += share if settles else 0
                window.held += 0 if settles else share
            elif row.is_cap:
                self._bucket(org, limit, out.now_ms).count += asked.shares[limit.measure]
        if asked.extends:
            standing = self._open_hold(asked.hold_id)
            if standing is not None:
                _grow(standing.hold, asked, out)
        elif not settles:
            self._holds[asked.hold_id] = Made(asked, out, note)

    def _pay(self, org: str, name: str, delta: int, expires_ms: int = 0) -> None:
        balance = self.balances.setdefault((org, name), Balance())
        balance.delta += delta
        balance.expires_ms = max(balance.expires_ms, expires_ms)
        balance.is_made = True

    def _give_back(self, org: str, name: str, amount: int) -> None:
        self.balances.setdefault((org, name), Balance()).delta += amount

    def _window(self, org: str, limit: LimitTerms, least_ms: int) -> Window:
        window = self.windows.setdefault((org, limit.name), Window())
        window.is_made = True
        if limit.period_ms:
            window.expires_ms = max(window.expires_ms, limit.period_ms, least_ms)
        if limit.is_indexed:
            window.index = index_of(limit.name)
        return window

    def _bucket(self, org: str, limit: LimitTerms, now_ms: int) -> Bucket:
        key = (org, limit.name, now_ms // limit.period_ms)
        bucket = self.buckets.setdefault(key, Bucket())
        bucket.is_made, bucket.period_ms = True, limit.period_ms
        if limit.is_indexed:
            bucket.index = index_of(limit.name)
        return bucket

    def ended(self, out: Ended, note: EndNote | None) -> None:
        """Add the end of a hold; where the hold is not known, only the balances move."""
        for part in out.back:
            if not part.gone:
                self._give_back(out.org, part.name, part.amount)
        for part in out.excess:
            self._pay(out.org, part.name, -part.amount, part.expires_ms)
        if out.shortfall and not is_collective(out.book):
            self._pay(out.org, SHORTFALL, out.shortfall)
        found = self._holds.get(out.hold_id)
        if found is None:
            return
        is_held = isinstance(found, Made) or found.hold.status == HoldStatus.held
        self._uncount(out, note, _counted(found), is_held=is_held)
        expired = self._open_hold(out.hold_id) if out.status == HoldStatus.expired else None
        self._holds[out.hold_id] = None
        if expired is not None:
            hold = replace(expired.hold, status=out.status, ended_ms=out.now_ms, draws=[])
            hold.released = out.released
            until_ms = out.now_ms + self._late_capture_ms
            self._holds[out.hold_id] = OpenHold(hold, expired.note, until_ms)

    def _uncount(
        self, out: Ended, note: EndNote | None, counted: list[Counted], *, is_held: bool
    ) -> None:
        """Take a hold out of the caps that it counts in, and leave what it finally used."""
        leaves: dict[int | str, int] | None = None
        if out.status == HoldStatus.captured:
            quantity = note.quantity if note is not None else None
            leaves = finals_of([entry.counted_as for entry in counted], quantity)
            leaves[MONEY] = out.captured + out.shortfall
        for entry, final in final_parts(counted, leaves):
            given = entry.amount if is_held else 0
            if entry.shape == WINDOW:
                window = self.windows.setdefault((out.org, entry.name), Window())
                window.used += final
                window.held -= given
            elif entry.shape == SLIDING and is_cap(entry.name):
                key = (out.org, entry.name, entry.bucket)
                bucket = self.buckets.setdefault(key, Bucket(period_ms=entry.period_ms))
                bucket.count += final - given

    def moved(self, out: Moved, grant: Grant | None) -> None:
        """Add a grant, a void, a lapse or an adjustment."""
        if out.kind in ("paid", "promotional"):
            self._pay(out.org, grant_name(out.id), out.amount - out.settled)
            if out.settled:
                self._pay(out.org, SHORTFALL, -out.settled)
            if grant is not None:
                self.grants[out.org, out.id] = Given(out.currency, grant)
        elif out.kind in ("void", "lapse"):
            self.balances[out.org, grant_name(out.id)] = Balance(is_gone=True)
            self.grants[out.org, out.id] = None
        else:
            if out.amount > 0:
                self._pay(out.org, ADJUSTMENTS, out.amount)
            for part in out.draws:
                self._pay(out.org, part.name, -part.amount, part.expires_ms)
            if out.shortfall:
                self._pay(out.org, SHORTFALL, out.shortfall)


def _counted(found: OpenHold | Made) -> list[Counted]:
    """List the counters that a hold counts in, with what it added there."""
    if isinstance(found, Made):
        return _counted_by(found.asked, found.out.now_ms, caps_alone=True)
    return found.hold.counted


def _counted_by(asked: RequestRecord, now_ms: int, *, caps_alone: bool = False) -> list[Counted]:
    """List what an authorize or extend added to the counters that its hold remembers."""
    found = []
    for limit in asked.terms.limits:
        row = limit.row
        if row.is_cap if caps_alone else row.is_kept_by_hold:
            period_ms = limit.period_ms if row.shape == SLIDING else 0
            bucket = now_ms // period_ms if period_ms else 0
            share, measure = asked.shares[limit.measure], limit.counted_as
            found.append(Counted(limit.name, row.shape, share, bucket, period_ms, measure))
    return found


def _grow(hold: Hold, asked: RequestRecord, out: Outcome) -> None:
    """Add what an authorize or extend took and counted to its hold."""
    hold.amount, hold.expires_ms = out.hold_amount, out.hold_expires_ms
    for source, part in zip(asked.terms.sources, out.draws, strict=False):
        if part:
            add_taken(hold, Taken(source.name, part, source.perishable))
    for counted in _counted_by(asked, out.now_ms):
        add_counted(hold, counted)
    gauge = FREE_HELD if is_collective(asked.terms.book) else HELD
    add_counted(hold, Counted(gauge, GAUGE, asked.shares[SET_ASIDE], 0, 0, SET_ASIDE))
