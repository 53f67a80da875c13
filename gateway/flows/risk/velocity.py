"""Select the velocity counters that a request reads and increments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from msgspec.structs import replace

from gateway.catalog.declared_counters import BUILT_IN, Declared
from gateway.core import names
from gateway.core.entity_counters import Windows, signal_name
from gateway.core.facts import TAGS, local_time, tier_of
from gateway.core.request_record import CountersRead, EventRecord, RecordedTerms, RequestRecord
from gateway.core.velocity import (
    COUNTED,
    DISTINCT,
    FIRST,
    IF_REFUSED,
    LISTED,
    ONE_MORE,
    SIGNAL,
    CountersInPlay,
    VelocityCounter,
    entry_name,
)
from gateway.flows.risk.list_keys import FIELDS, entry_of
from gateway.flows.shared.pseudonyms import MASKED, hashed
from rules.parser import parse
from rules.schema import OWN, SHARED
from rules.syntax import Membership, Velocity

MEMBER_BYTES = 8
_hashed = lru_cache(maxsize=32_768)(hashed)
"""The same orgs, networks and domains come again and again; what is personal is hashed already."""


@dataclass(frozen=True)
class _Window:
    """A counter or set: its entity, the beginning of its name, and the facts its numbers become.

    `of`: the field whose distinct values count ("": requests and money). `event`: type of a
    business event ("": requests). `same`: the field that requests must share ("": none). `adds`:
    what each adds, unless that is a member.
    """

    kind: int
    entity: str
    series: tuple[str, str]
    width_ms: int
    of: str
    names: tuple[str, ...]
    since: int
    event: str = ""
    same: str = ""
    adds: str = ONE_MORE

    @property
    def is_signal(self) -> bool:
        """Whether it is counted in the signal that its entity has anyway."""
        has_one = self.entity in ("org", "user", "key") and self.kind == COUNTED
        return has_one and not self.event and not self.same and self.adds == ONE_MORE


@dataclass(frozen=True)
class _List:
    field: str
    list: str
    name: str


class VelocityCounters:
    """The velocity counters of one change of rules; replaced as a whole. Pure."""

    def __init__(self, version: int, wanted: Mapping[str, Declared], secret: bytes) -> None:
        self.version = version
        self.settled = 0
        """Every worker knows of this change: windows from before it that are not wanted can go."""
        self._secret = secret
        self._built_in = tuple(name for name in BUILT_IN if f"@{name}" in wanted)
        others = {name: of for name, of in wanted.items() if not name.startswith("@")}
        self._windows, self._lists = _read(others)
        self._sames = tuple(sorted({w.same for w in self._windows if w.same}))
        self.is_alike_own = all(w.entity in OWN for w in self._windows if w.same)
        """Whether requests are only held against others of their own org."""
        self._unlike = tuple(w for w in self._windows if not w.same)
        self._others = tuple(w for w in self._windows if not w.is_signal)
        """Those that are no part of a signal."""
        self._signals = {name: _of_signal(self._windows, name) for name in ("org", "user", "key")}

    def __bool__(self) -> bool:
        return bool(self._windows or self._lists or self._built_in)

    @property
    def may_exempt(self) -> bool:
        """True if rules must wait for membership of the allow list."""
        return "allow" in self._built_in

    @property
    def may_block(self) -> bool:
        """Whether a list alone may stop a request."""
        return "block" in self._built_in

    def in_play(self, asked: RequestRecord, at_ms: int) -> CountersInPlay:
        """Select a request's counters at a time (Unix ms); note in it what the numbers become."""
        if not self:
            return CountersInPlay(version=self.settled)
        terms = asked.terms
        windows, reads = self._signals["org"]
        found = [windows]
        for name, one in (("user", terms.user), ("key", terms.key)):
            if one:
                windows, of_event = self._signals[name]
                found.append(windows)
                reads += of_event
        tallies, others = self._counters(asked, self._others, at_ms)
        asked.tallied = CountersRead(self.version, (*reads, *others), at_ms)
        return CountersInPlay(tuple(found), tuple(tallies), self.settled)

    def all_counters(self, asked: RequestRecord) -> tuple[list[VelocityCounter], list[str]]:
        """All counters of a request but those of `alike`, and the facts their numbers become."""
        return self._counters(asked, self._unlike, 0)

    def likeness(self, asked: RequestRecord, now_ms: int) -> tuple[str, ...]:
        """The properties that counters with `same` compare, in the order of their names."""
        at_ms = _counted_at_ms(asked, now_ms)
        return tuple([_likeness(asked, same, at_ms) for same in self._sames])

    def alike(
        self, asked: RequestRecord, place: int, likeness: str
    ) -> tuple[list[VelocityCounter], list[str]]:
        """Counters of requests that share one property with this one (by its place above)."""
        same = self._sames[place]
        entities = _Entities(asked.terms.org, asked.terms, asked.context)
        windows = (window for window in self._windows if window.same == same)
        pairs = [(entities.counter(window, {same: likeness}), window.names) for window in windows]
        found = [(counter, of_event) for counter, of_event in pairs if counter is not None]
        return [counter for counter, _ in found], [
            name for _, of_event in found for name in of_event
        ]

    def _counters(
        self, asked: RequestRecord, windows: tuple[_Window, ...], at_ms: int
    ) -> tuple[list[VelocityCounter], list[str]]:
        entities, found = _Entities(asked.terms.org, asked.terms, asked.context), []
        reads: list[str] = []
        likeness = {same: _likeness(asked, same, at_ms) for same in self._sames}
        for window in windows:
            counter = entities.counter(window, likeness)
            if counter is not None:
                found.append(counter)
                # Without a member of its own it is not told whether that was met.
                reads += window.names if counter.adds or not window.of else (window.names[0], "")
        for one in self._lists:
            digest = entities.digest(one.field, asked, self._secret)
            if digest:
                found.append(listed(one.list, digest))
                reads.append(one.name)
        for name in self._built_in:
            for field in FIELDS:
                entry = entities.entry(field)
                if entry:
                    found.append(listed(name, _hashed(self._secret, entry)))
                    reads.append(f"@{name}:{field}")
        return found, reads

    def note(self) -> CountersRead:
        """The change after which an event is counted, as its record has it."""
        return CountersRead(self.version, ())

    def uncounted(self, asked: RequestRecord, now_ms: int) -> list[VelocityCounter]:
        """Counters of a request that did not exist when it was decided."""
        version, at_ms = (
            asked.tallied.version if asked.tallied else 0,
            _counted_at_ms(asked, now_ms),
        )
        entities = _Entities(asked.terms.org, asked.terms, asked.context)
        windows = (w for w in self._windows if version < w.since and not w.event)
        likeness = {same: _likeness(asked, same, at_ms) for same in self._sames}
        return [counter for w in windows if (counter := entities.pending(w, likeness)) is not None]

    def of_event(self, org: str, happened: EventRecord) -> tuple[VelocityCounter, ...]:
        """Counters that an event increments."""
        return tuple(
            replace(counter, adds=ONE_MORE) for counter in self._of_event(org, happened, -1)
        )

    def uncounted_of_event(self, org: str, happened: EventRecord) -> list[VelocityCounter]:
        """Counters of an event that did not exist when it was recorded."""
        version = happened.tallied.version if happened.tallied is not None else 0
        return self._of_event(org, happened, version)

    def _of_event(self, org: str, happened: EventRecord, version: int) -> list[VelocityCounter]:
        windows = (w for w in self._windows if w.event == happened.type and version < w.since)
        entities = _Entities(org, happened, happened.context)
        found = (entities.counter(window, {}) for window in windows)
        return [t for t in found if t is not None and (t.org or not happened.is_bound)]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of records that count in its windows."""
        events = tuple(window.event for window in self._windows)
        requests = () if all(events) else ("authorize", "extend")
        return (*requests, "event") if any(events) else requests

    @property
    def is_shared(self) -> bool:
        """Whether a window is of an entity that many orgs share."""
        return any(window.entity in SHARED for window in self._windows)

    @property
    def longest_ms(self) -> int:
        """The longest window of all."""
        return max((window.width_ms for window in self._windows), default=0)


def listed(name: str, digest: str) -> VelocityCounter:
    """The list key of an item's digest, as a counter that reads membership."""
    return VelocityCounter(LISTED, "", entry_name(name, digest))


class _Entities:
    """The entities of a request, as they appear in counter names."""

    def __init__(
        self, org: str, of: RecordedTerms | EventRecord, context: Mapping[str, str | int]
    ) -> None:
        self._org, self._context = org, context
        self._own = {"org": org, "project": of.project, "user": of.user, "key": of.key}

    def digest(self, field: str, asked: RequestRecord, secret: bytes) -> str:
        """The list key of a field's value; "" where the request has no value."""
        kind, _, name = field.partition(".")
        if kind == "context":
            value = str(self._context.get(name, ""))
            return value if name in MASKED or not value else _hashed(secret, value)
        value = self._own.get(kind, "") if name == "id" else _other(field, asked)
        return _hashed(secret, value) if value else ""

    def entry(self, field: str) -> str:
        """The key of a field's value on built-in lists."""
        return entry_of(field, self._org, self._own, self._context)

    def counter(self, window: _Window, likeness: Mapping[str, str]) -> VelocityCounter | None:
        """The counter of this entity, or None where the request has no such entity."""
        entity = window.entity
        is_own = entity in OWN
        value = self._own[entity] if is_own else self._context.get(entity, "")
        if value == "":
            return None
        parts = [*window.series, entity, str(value)]
        if window.same:
            if not likeness[window.same]:
                return None
            parts.append(likeness[window.same])
        org = self._org if is_own else ""
        adds = self._member(window.of) if window.of else window.adds
        return VelocityCounter(window.kind, org, names.join(*parts), window.width_ms, adds)

    def pending(self, window: _Window, likeness: Mapping[str, str]) -> VelocityCounter | None:
        """The same counter, under the name that a backfill adds to."""
        if not window.is_signal:
            return self.counter(window, likeness)
        value = self._own[window.entity]
        if not value:
            return None
        short = "o" if window.entity == "org" else names.join(window.entity[0], value)
        since = str(window.since)
        return VelocityCounter(SIGNAL, self._org, signal_name(short), window.width_ms, since)

    def _member(self, of: str) -> str:
        value = self._own[of] if of in OWN else self._context.get(of, "")
        if value == "":
            return ""
        whose = f"{self._org}\n{value}" if of in OWN else str(value)
        return blake2b(whose.encode(), digest_size=MEMBER_BYTES).hexdigest()


def _of_signal(windows: Iterable[_Window], entity: str) -> tuple[Windows, tuple[str, ...]]:
    """The windows of an entity's signal, and what their numbers are read as."""
    mine = [window for window in windows if window.is_signal and window.entity == entity]
    flat = tuple(number for window in mine for number in (window.since, window.width_ms))
    return flat, tuple(name for window in mine for name in window.names)


def _other(field: str, asked: RequestRecord) -> str:
    customer = asked.terms.customer
    others = {"product": asked.terms.product, "run": asked.run, "credential": asked.caller}
    if customer is not None:
        others |= {f"org.{name}": getattr(customer, name) for name in ("plan", "type", "country")}
    if field.startswith(TAGS):
        return asked.tags.get(field.removeprefix(TAGS), "")
    return others.get(field, "")


def _counted_at_ms(asked: RequestRecord, now_ms: int) -> int:
    """Time a request was counted: this gateway's clock, where the record has it (Unix ms)."""
    return asked.tallied.at_ms if asked.tallied is not None and asked.tallied.at_ms else now_ms


def _likeness(asked: RequestRecord, same: str, at_ms: int) -> str:
    """The property that a counter with `same` compares; "" where the request lacks it."""
    terms = asked.terms
    if same == "size":
        return str(asked.amount.bit_length())
    if same == "tier":
        return tier_of(terms.price)
    if same == "hour":
        return str(local_time(terms.customer, at_ms)[0]) if terms.customer is not None else ""
    return terms.product


def _read(wanted: Mapping[str, Declared]) -> tuple[tuple[_Window, ...], tuple[_List, ...]]:
    """The windows and lists that names are read from; names of one window share it."""
    found: dict[tuple[object, ...], list[str]] = {}
    lists: list[_List] = []
    for name, state in sorted(wanted.items()):
        value, of_event = parse(name).value, name if state.is_warm else ""
        if isinstance(value, Membership):
            lists.append(_List(value.field, value.list, name))
        elif isinstance(value, Velocity):
            group, place = GROUPS[value.kind]
            key = (ORDER.index(group), group, value.entity, value.window_ms, state.since)
            places = found.setdefault((*key, value.of, value.same), ["", ""])
            places[place] = of_event
    windows = [_window(key, places) for key, places in sorted(found.items())]
    return tuple(windows), tuple(lists)


def _window(key: tuple[Any, ...], of_event: list[str]) -> _Window:
    _, group, entity, width_ms, since, of, same = key
    kind, letter, adds = KINDS[group]
    series = (letter, f"{since}.{width_ms}" + (f".{of or same}" if of or same else ""))
    read_as = tuple(of_event[:1]) if group == "age" else tuple(of_event)
    member, event = (of, "") if kind == DISTINCT else ("", of)
    return _Window(kind, entity, series, width_ms, member, read_as, since, event, same, adds)


GROUPS = {
    "count": ("count", 0),
    "cost": ("count", 1),
    "denied": ("denied", 0),
    "events": ("events", 0),
    "total": ("events", 1),
    "distinct": ("distinct", 0),
    "known": ("distinct", 1),
    "age": ("age", 0),
}
"""Of each kind of velocity the group that is counted together, and its place among the numbers."""
KINDS = {
    "count": (COUNTED, "w", ONE_MORE),
    "denied": (COUNTED, "r", IF_REFUSED),
    "events": (COUNTED, "v", ""),
    "distinct": (DISTINCT, "d", ""),
    "age": (FIRST, "f", ONE_MORE),
}
"""Kind of counter, begin of its name and increment, by group of windows."""
ORDER = tuple(KINDS)
"""Order of counters in a call of the store: counts first, then sets."""
