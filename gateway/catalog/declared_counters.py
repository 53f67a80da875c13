"""Velocity counters that rules and models declare: since which change, and whether backfilled.

The answer follows from the policy log alone, so every worker comes to the same one. A new window is
counted from the change that declares it, under a name with that change's number. Its past is
backfilled from the ledger; until then the window is pending and its value unknown.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from gateway.catalog.policy_log import USED, WARM, WARMING, Change, Fold
from gateway.core.windows import HOUR_MS

BUILT_IN = ("block", "allow")
"""Lists on which every request is looked up, once they ever had an item."""
WANTED_MS = HOUR_MS
"""Time for which backfilled counters are kept for a policy that was not activated yet."""
WINDOWED = "velocity."
"""Prefix of the names of counters that have a window, and so a past."""


class Declared(Struct, frozen=True):
    """A counter in use since change number `since`; `is_warm` once it is backfilled."""

    since: int
    is_warm: bool


def declared(changes: Iterable[Change]) -> dict[str, Declared]:
    """Return the counters in use after the last change, by the name under which rules read them.

    `changes` come oldest first. In use are all counters read by rule sets and models that decide,
    are in shadow, are being backfilled, or decided one step before (for a rollback); and the
    built-in lists that ever had an item.
    """
    fold, counted = Fold(), _Counted()
    for change in changes:
        fold.add(change)
        counted.add(change, fold)
    return counted.names


class _Counted:
    """Running state of `declared`, change by change."""

    def __init__(self) -> None:
        self.names: dict[str, Declared] = {}
        self._reads: dict[str, tuple[str, ...]] = {}
        self._warming: dict[str, int] = {}
        self._used: dict[str, None] = {}
        self._active: frozenset[str] = frozenset()
        self._before: frozenset[str] = frozenset()
        self._step: tuple[str, int] = ("", 0)
        self._champion = ""
        self._champion_before = ""

    def add(self, change: Change, fold: Fold) -> None:
        if change.ruleset and change.mode != "retired":
            self._reads[change.ruleset] = change.reads
        if change.mode == WARM:
            for name in change.reads:
                if name in self.names:
                    self.names[name] = Declared(self.names[name].since, is_warm=True)
            return
        if change.mode == USED:
            self._used |= dict.fromkeys(change.reads)
        elif change.mode != WARMING:
            self._warming.pop(change.ruleset, None)
            self._note_step(change, frozenset(dict(fold.active)))
            champion, _ = fold.champion
            if champion != self._champion:
                self._champion, self._champion_before = champion, self._champion
        elif change.ruleset:
            self._warming[change.ruleset] = change.at_ms
        else:
            # A new attempt drops the pending counters, so that none holds part of a broken one.
            self.names = {n: d for n, d in self.names.items() if d.is_warm or n not in change.reads}
        # A backfill without an activation within the hour was given up.
        recent = {name: at for name, at in self._warming.items() if change.at_ms - at < WANTED_MS}
        self._warming = recent
        wanted = {*self._active, *self._before, *fold.shadows, *self._warming}
        wanted |= {*fold.challengers, self._champion, self._champion_before}
        reads = [name for of in sorted(wanted) for name in self._reads.get(of, ())]
        names = dict.fromkeys([*self._used, *reads], Declared(change.n, is_warm=False))
        for name in names:
            # A list has no past to backfill.
            fresh = Declared(change.n, is_warm=not name.startswith(WINDOWED))
            names[name] = self.names.get(name, fresh)
        self.names = names

    def _note_step(self, change: Change, active: frozenset[str]) -> None:
        # A rollback writes several rows: only the first of a step moves `_before`.
        step = (change.note, change.at_ms)
        if active != self._active and step != self._step:
            self._before, self._step = self._active, step
        self._active = active
