"""Rule sets by the hash of their text, and the changes that say which of them, and which models,
decide.

Neither is ever altered: a change is one more row, and what stands now follows from all of them. So
going back is one more change, and who did what when is never lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from gateway.catalog import schema as t
from gateway.catalog.tables import Tables

EVERYBODY = 100
ROLLED_BACK = "rolled back"
"""How the notes of changes begin that put back what was."""
WARMING, WARM = "warming", "warm"
"""What rules read is counted from now on; what happened before is in it, too."""
MODEL = "m_"
"""How the ids of models begin; theirs are changes as those of rule sets."""
Cuts = tuple[float, float, float]
"""Scores from which on a request is blocked, challenged, reviewed; 0: never."""
NO_CUTS: Cuts = (0.0, 0.0, 0.0)
USED = "used"
"""Something stands on a built-in list: from now on every request is looked up there."""
Shares = tuple[tuple[str, int], ...]
"""Rule sets in force with their share of orgs in percent, the newest first."""


class Stored(Struct, frozen=True):
    """A rule set as it was handed in."""

    id: str
    text: str
    author: str
    created_ms: int
    name: str = ""


class Change(Struct, frozen=True):
    """A rule set was set to `shadow`, `active` (of `percent` of the orgs) or `retired`.

    `reads` is what it reads of all that is counted because rules ask for it. That is `warming`
    before it is `warm`: such changes set no rule set to anything.
    """

    n: int
    ruleset: str
    mode: str
    percent: int
    author: str
    note: str
    at_ms: int
    reads: tuple[str, ...] = ()
    once: str = ""
    """The idempotency key and body of the call that made it, if it came with a key."""
    cuts: Cuts = NO_CUTS
    """What an active model's scores bring about."""


class Standing(Struct, frozen=True):
    """What decides now: rule sets with their share of orgs, the newest first, and the shadows.

    The last of `active` has all orgs that no other takes, unless its share is smaller. `champion`
    is the model that scores ("" for none), by its `cuts`; `challengers` are in shadow.
    """

    version: int
    active: Shares
    shadows: tuple[str, ...]
    champion: str = ""
    cuts: Cuts = NO_CUTS
    challengers: tuple[str, ...] = ()


class Fold:
    """What stands, as changes come one by one."""

    def __init__(self) -> None:
        self.version = 0
        self._active: dict[str, int] = {}
        self._shadows: dict[str, None] = {}
        self._champion: tuple[str, Cuts] = ("", NO_CUTS)
        self._challengers: dict[str, None] = {}

    def add(self, change: Change) -> None:
        """Take in the next change."""
        self.version = change.n
        if change.mode in (WARMING, WARM, USED):
            return
        if change.ruleset.startswith(MODEL):
            self._add_model(change)
            return
        self._active.pop(change.ruleset, None)
        self._shadows.pop(change.ruleset, None)
        if change.mode == "shadow":
            self._shadows[change.ruleset] = None
        elif change.mode == "active":
            if change.percent >= EVERYBODY:
                self._active.clear()
            self._active[change.ruleset] = change.percent

    def _add_model(self, change: Change) -> None:
        self._challengers.pop(change.ruleset, None)
        if change.mode == "active":
            self._champion = (change.ruleset, change.cuts)
        elif self._champion[0] == change.ruleset:
            self._champion = ("", NO_CUTS)
        if change.mode == "shadow":
            self._challengers[change.ruleset] = None

    @property
    def champion(self) -> tuple[str, Cuts]:
        """The model that scores ("" for none), and from which scores on something is done."""
        return self._champion

    @property
    def challengers(self) -> tuple[str, ...]:
        """Models in shadow, the oldest first."""
        return tuple(self._challengers)

    @property
    def active(self) -> Shares:
        """Rule sets in force with their shares, the newest first."""
        return tuple(reversed(self._active.items()))

    @property
    def shadows(self) -> tuple[str, ...]:
        """Rule sets in shadow, the oldest first."""
        return tuple(self._shadows)

    def standing(self) -> Standing:
        """What stands, as a whole."""
        return Standing(self.version, self.active, self.shadows, *self._champion, self.challengers)


def standing(changes: Iterable[Change]) -> Standing:
    """What follows from all changes, oldest first.

    One that is active for everybody retires all that were active before. One for a share stands
    before them: its orgs are decided by it, the others as before.
    """
    fold = Fold()
    for change in changes:
        fold.add(change)
    return fold.standing()


def previous(changes: Sequence[Change]) -> Shares | None:
    """What was in force before what is now; None when nothing was.

    What was rolled back is no more: going back twice goes two steps back. The rows of one rollback
    are one step.
    """
    states: list[Shares] = [()]
    fold, changes = Fold(), [c for c in changes if not c.ruleset.startswith(MODEL)]
    for change, following in zip_longest(changes, changes[1:]):
        fold.add(change)
        if not change.note.startswith(ROLLED_BACK):
            if fold.active != states[-1]:
                states.append(fold.active)
        elif following is None or _rollback(following) != _rollback(change):
            del states[-1:]
            if not states or states[-1] != fold.active:
                states.append(fold.active)
    return states[-2] if len(states) > 1 else None


def _change(*row: Any) -> Change:
    n, ruleset, mode, percent, author, note, at_ms, reads, once, cuts = row
    told = (n, ruleset, mode, percent, author, note, at_ms, tuple(json.loads(reads)))
    return Change(*told, once, tuple(json.loads(cuts)))


def last_champion(changes: Iterable[Change]) -> tuple[str, Cuts]:
    """The model that scored before the one that does now, and by which cuts; "" for none.

    What was rolled back is no more: going back twice goes two steps back.
    """
    fold, states = Fold(), [("", NO_CUTS)]
    for change in (c for c in changes if c.ruleset.startswith(MODEL)):
        fold.add(change)
        if fold.champion == states[-1]:
            continue
        if change.note.startswith(ROLLED_BACK):
            del states[-1:]
            if not states or states[-1] != fold.champion:
                states.append(fold.champion)
        else:
            states.append(fold.champion)
    return states[-2] if len(states) > 1 else ("", NO_CUTS)


def _rollback(change: Change) -> tuple[str, int]:
    """Which rollback a change is of."""
    return change.note, change.at_ms


class RuleSets(Tables):
    """Rule sets in the catalog."""

    async def add(self, made: Stored) -> bool:
        """Keep a rule set; False when it is there already."""
        try:
            async with self._write() as c:
                await c.execute(insert(t.rulesets).values(**asdict(made)))
        except IntegrityError:
            return False
        return True

    async def count(self) -> int:
        """Count the rulesets."""
        async with self._read() as c:
            return int((await c.execute(select(func.count()).select_from(t.rulesets))).scalar_one())

    async def find(self, ruleset: str) -> Stored | None:
        """A rule set, or None."""
        async with self._read() as c:
            found = (await c.execute(select(t.rulesets).where(t.rulesets.c.id == ruleset))).first()
        return Stored(*found) if found is not None else None

    async def listed(self) -> list[Stored]:
        """All rule sets without their texts, the newest first."""
        r = t.rulesets.c
        query = select(r.id, r.author, r.created_ms, r.name).order_by(r.created_ms.desc(), r.id)
        async with self._read() as c:
            return [Stored(row.id, "", *row[1:]) for row in await c.execute(query)]

    async def version(self) -> int:
        """The number of the latest change; 0 without any."""
        async with self._read() as c:
            return int((await c.execute(select(func.max(t.ruleset_changes.c.n)))).scalar() or 0)

    async def changes(self) -> list[Change]:
        """All changes, oldest first."""
        query = select(t.ruleset_changes).order_by(t.ruleset_changes.c.n)
        async with self._read() as c:
            rows = await c.execute(query)
            return [_change(*row) for row in rows]

    async def change(self, version: int, made: Sequence[Change]) -> bool:
        """Add changes behind that version, all or none; False when somebody else was first."""
        rows = [
            {
                **asdict(change),
                "n": n,
                "reads": json.dumps(change.reads),
                "cuts": json.dumps(change.cuts),
            }
            for n, change in enumerate(made, version + 1)
        ]
        try:
            async with self._write() as c:
                await c.execute(insert(t.ruleset_changes), rows)
        except IntegrityError:
            return False
        return True
