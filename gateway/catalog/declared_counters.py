"""What is counted because rules read it, since when, and whether all of its window is in it.

It follows from the changes of rules alone, so every worker comes to the same. A window is counted
anew from the change on that brings it, under a name of that change's own; what happened before is
added from the log, and until then it is not known.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from gateway.catalog.policy_log import USED, WARM, WARMING, Change, Fold
from gateway.core.windows import HOUR_MS

BUILT_IN = ("block", "allow")
"""Lists that every request is looked up on, once something ever stood there."""
WANTED_MS = HOUR_MS
"""How long what was warmed waits for its rule set to be set to something."""
WINDOWED = "velocity."
"""How the names of what has a window begin."""


class Declared(Struct, frozen=True):
    """Counted since a change, by its number; `is_warm` once what happened before it is in it."""

    since: int
    is_warm: bool


def declared(changes: Iterable[Change]) -> dict[str, Declared]:
    """What is counted behind the last change, oldest first, by the name rules read it under.

    That is what the rule sets and models read which decide or are in shadow, those that are being
    warmed for it, and those one step back; and the built-in lists that are in use.
    """
    fold, counted = Fold(), _Counted()
    for change in changes:
        fold.add(change)
        counted.add(change, fold)
    return counted.names


class _Counted:
    """What is counted, as changes come one by one."""

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
            # They begin once more: nothing of an attempt that was broken off is in them.
            self.names = {n: d for n, d in self.names.items() if d.is_warm or n not in change.reads}
        # Whoever wanted it would have come back for it by now.
        recent = {name: at for name, at in self._warming.items() if change.at_ms - at < WANTED_MS}
        self._warming = recent
        wanted = {*self._active, *self._before, *fold.shadows, *self._warming}
        wanted |= {*fold.challengers, self._champion, self._champion_before}
        reads = [name for of in sorted(wanted) for name in self._reads.get(of, ())]
        names = dict.fromkeys([*self._used, *reads], Declared(change.n, is_warm=False))
        for name in names:
            # A list has no past.
            fresh = Declared(change.n, is_warm=not name.startswith(WINDOWED))
            names[name] = self.names.get(name, fresh)
        self.names = names

    def _note_step(self, change: Change, active: frozenset[str]) -> None:
        # The rows of one step (a rollback has several) leave what was before them.
        step = (change.note, change.at_ms)
        if active != self._active and step != self._step:
            self._before, self._step = self._active, step
        self._active = active
