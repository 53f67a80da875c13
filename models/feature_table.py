"""The training table: the features of many requests, computed by columns.

It uses the live definitions (`models.features`) and gives the same numbers to the last bit, at some
hundred thousand requests a second. Each row uses only the rows before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.column_counters import Grouped, Real, Whole, age, counted, counted_late, distinct
from models.features import DEAR_PERCENT, FeatureSpec, Signal, reads_of

REQUEST = ""
"""Type of the rows that are requests; every other row is an event of its type."""


@dataclass(frozen=True)
class Log:
    """Requests and events by columns, one entry a row, in the order in which they were counted.

    `at_ms` is a row's time, `told_ms` the time as of which an event counts (Unix ms). `type_codes`
    index `types`. `amounts` are micros. `entities` are codes (-1: none), `same` are codes of what
    requests may have in common. `facts` are numbers by the names that features read (NaN: unknown);
    texts among them are codes.
    """

    at_ms: Whole
    types: Sequence[str]
    type_codes: Whole
    amounts: Whole
    refused: Whole
    entities: Mapping[str, Whole]
    same: Mapping[str, Whole]
    facts: Mapping[str, Real]
    told_ms: Whole
    _grouped: dict[tuple[str, str], Grouped] = field(default_factory=dict)

    @property
    def requests(self) -> Whole:
        """Row numbers of the requests."""
        return np.flatnonzero(self._is(REQUEST))

    def _is(self, kind: str) -> Whole:
        """Return 1 for rows of a type, 0 for others."""
        if kind not in self.types:
            return np.zeros(len(self.at_ms), np.int64)
        return np.asarray(self.type_codes == self.types.index(kind), np.int64)

    def _by(self, entity: str, same: str) -> Grouped:
        """Group rows by an entity and, if `same` is not "", by what they have in common."""
        key = (entity, same)
        if key not in self._grouped:
            codes = self.entities[entity]
            if same:
                others = self.same[same]
                known = (codes >= 0) & (others >= 0)
                codes = np.where(known, codes * (int(others.max(initial=0)) + 1) + others, -1)
            self._grouped[key] = Grouped.of(codes)
        return self._grouped[key]

    def columns(self, signals: Iterable[Signal]) -> dict[str, Real]:
        """Compute each signal before each row, by its name; NaN in rows without its entity."""
        wanted: dict[tuple[object, ...], list[Signal]] = {}
        for signal in dict.fromkeys(signals):
            group = {"cost": "count", "total": "events", "known": "distinct"}
            kind = group.get(signal.kind, signal.kind)
            key = (kind, signal.entity, signal.width_ms, signal.of, signal.same)
            wanted.setdefault(key, []).append(signal)
        found: dict[str, Real] = {}
        for some in wanted.values():
            by = self._by(some[0].entity, some[0].same)
            is_nobody = by.back(by.codes) < 0
            for signal, column in zip(some, self._shown(by, some), strict=True):
                found[str(signal)] = np.where(is_nobody, np.nan, column)
        return found

    def _shown(self, by: Grouped, some: Sequence[Signal]) -> Sequence[Real]:
        """Compute signals that share their entity, window and kind of count."""
        signal, width_ms = some[0], some[0].width_ms
        is_request = self._is(REQUEST)
        if signal.kind in ("events", "total"):
            is_told = self._is(signal.of)
            each = [is_told * self.amounts if one.kind == "total" else is_told for one in some]
            return [counted_late(by, self.at_ms, self.told_ms, width_ms, weight) for weight in each]
        if signal.kind in ("distinct", "known"):
            # Events add no member: they only read.
            members = np.where(is_request > 0, self.entities[signal.of], -1)
            count, met = distinct(by, self.at_ms, members, width_ms)
            return [met if one.kind == "known" else count for one in some]
        if signal.kind == "age":
            return (_age(by, self.at_ms, is_request, width_ms),)
        counts = is_request * self.refused if signal.kind == "denied" else is_request
        each = [counts * self.amounts if one.kind == "cost" else counts for one in some]
        return counted(by, self.at_ms, width_ms, each)


def _age(by: Grouped, at_ms: Whole, is_request: Whole, width_ms: int) -> Real:
    """Compute `age` from requests alone; 0 for other rows."""
    rows, codes = np.flatnonzero(is_request), by.back(by.codes)
    found = np.zeros(len(at_ms))
    found[rows] = age(Grouped.of(codes[rows]), at_ms[rows], width_ms)
    return found


def matrix(log: Log, specs: Sequence[FeatureSpec]) -> Real:
    """Return the vectors of all requests of a log: (requests x features), in their orders."""
    signals = [signal for spec in specs for signal in spec.signals]
    rows = log.requests
    shown = log.columns(signals)
    nothing = np.full(len(log.at_ms), np.nan)
    inputs = {n: (shown.get(n, log.facts.get(n, nothing)))[rows] for n in reads_of(specs)}
    found = np.empty((len(specs), len(rows)))
    with np.errstate(divide="ignore", invalid="ignore"):
        for place, spec in enumerate(specs):
            column = _computed(spec, [inputs[name] for name in spec.source.names])
            if not math.isnan(spec.default):
                column = np.where(np.isnan(column), spec.default, column)
            found[place] = column
    return found.T


def _computed(spec: FeatureSpec, of: Sequence[Real]) -> Real:
    """Compute a feature as `models.features` does, in that order: floats are not associative."""
    op, scale = spec.source.op, spec.source.scale
    if op == "value":
        return of[0] * scale
    if op == "ratio":
        return np.where(of[1] != 0, of[0] * scale / of[1], np.nan)
    if op == "against_mean":
        return np.where(of[1] != 0, of[0] * of[2] / of[1], np.nan)
    if op == "dear_share":
        share = of[0] / of[1]
        own = np.where(of[2] >= DEAR_PERCENT, share, 1.0 - share)
        return np.where(of[1] != 0, own, np.nan)
    if op == "absent":
        return 1.0 - of[0]
    both = np.isnan(of[0]) | np.isnan(of[1])
    return np.where(both, np.nan, (of[0] != of[1]).astype(float))
