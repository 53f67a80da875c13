"""Rule sets under the hash of their text, and the log of changes that put policies in use.

Neither is ever altered: a change is one more row, and the policies in force follow from all rows. A
rollback is therefore one more change, and the log always says who changed what, and when.
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
from gateway.catalog.audit import append
from gateway.catalog.tables import Tables
from gateway.core.audit import AuditEntry

EVERYBODY = 100
ROLLED_BACK = "rolled back"
"""Note of changes that roll back."""
WARMING, WARM = "warming", "warm"
"""Modes of a backfill: counters are declared and pending; counters are backfilled."""
MODEL = "m_"
"""Prefix of the ids of models; their changes are in the same log as those of rule sets."""
Cuts = tuple[float, float, float]
"""Thresholds: scores from which a request is blocked, challenged, reviewed; 0: never."""
NO_CUTS: Cuts = (0.0, 0.0, 0.0)
USED = "used"
"""Mode of a change that takes a built-in list into use: from now on every request is looked up."""
Shares = tuple[tuple[str, int], ...]
"""Rule sets in force with their share of orgs in percent, newest first."""


class Stored(Struct, frozen=True):
    """A rule set as it was submitted."""

    id: str
    text: str
    author: str
    created_ms: int
    name: str = ""


class Change(Struct, frozen=True):
    """One row: a rule set or model became `shadow`, `active` (for `percent` of orgs) or `retired`.

    `reads` names the declared counters that it reads. The modes `warming` and `warm` mark the
    begin and the end of their backfill, and `used` a built-in list; these change no policy.
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
    """The idempotency key and body digest of the call that made it; "" without a key."""
    cuts: Cuts = NO_CUTS
    """Thresholds of an active model."""
    rollback: str = ""
    """Identity of the rollback that it is a part of; "" for any other change."""


class PoliciesInForce(Struct, frozen=True):
    """The policies in force as of a version: active rule sets, newest first, and shadows.

    The last of `active` decides for all orgs that no other one takes, unless its share is smaller.
    `champion` is the model that scores ("" for none), `cuts` its thresholds; `challengers` are the
    models in shadow.
    """

    version: int
    active: Shares
    shadows: tuple[str, ...]
    champion: str = ""
    cuts: Cuts = NO_CUTS
    challengers: tuple[str, ...] = ()


class Fold:
    """Running state of the policy log: the policies in force, change by change."""

    def __init__(self) -> None:
        self.version = 0
        self._active: dict[str, int] = {}
        self._shadows: dict[str, None] = {}
        self._champion: tuple[str, Cuts] = ("", NO_CUTS)
        self._challengers: dict[str, None] = {}

    def add(self, change: Change) -> None:
        """Apply the next change."""
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
        """The model that scores ("" for none), and its thresholds."""
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

    def in_force(self) -> PoliciesInForce:
        """Return the policies in force as one value."""
        return PoliciesInForce(
            self.version, self.active, self.shadows, *self._champion, self.challengers
        )


def in_force(changes: Iterable[Change]) -> PoliciesInForce:
    """Return the policies in force after all changes, which come oldest first.

    A rule set that becomes active for all orgs retires every other one. A rule set that becomes
    active for a share takes precedence for those orgs; the other orgs are decided as before.
    """
    fold = Fold()
    for change in changes:
        fold.add(change)
    return fold.in_force()


def previous(changes: Sequence[Change]) -> Shares | None:
    """Return the rule sets that were in force one step before; None if there were none.

    A step that was rolled back no longer counts, so two rollbacks go back two steps. All rows of
    one rollback are one step.
    """
    states: list[Shares] = [()]
    fold, changes = Fold(), [c for c in changes if not c.ruleset.startswith(MODEL)]
    for change, following in zip_longest(changes, changes[1:]):
        fold.add(change)
        if not change.rollback:
            if fold.active != states[-1]:
                states.append(fold.active)
        elif following is None or following.rollback != change.rollback:
            del states[-1:]
            if not states or states[-1] != fold.active:
                states.append(fold.active)
    return states[-2] if len(states) > 1 else None


def _change(*row: Any) -> Change:
    n, ruleset, mode, percent, author, note, at_ms, reads, once, cuts, rollback = row
    told = (n, ruleset, mode, percent, author, note, at_ms, tuple(json.loads(reads)))
    return Change(*told, once, tuple(json.loads(cuts)), rollback)


def last_champion(changes: Iterable[Change]) -> tuple[str, Cuts]:
    """Return the previous champion ("" for none) and its thresholds.

    A step that was rolled back no longer counts, so two rollbacks go back two steps.
    """
    fold, states = Fold(), [("", NO_CUTS)]
    for change in (c for c in changes if c.ruleset.startswith(MODEL)):
        fold.add(change)
        if fold.champion == states[-1]:
            continue
        if change.rollback:
            del states[-1:]
            if not states or states[-1] != fold.champion:
                states.append(fold.champion)
        else:
            states.append(fold.champion)
    return states[-2] if len(states) > 1 else ("", NO_CUTS)


def _entry(change: Change) -> AuditEntry | None:
    """The audit log's entry of a change; None where it changes no policy."""
    if change.mode in (WARMING, WARM, USED):
        return None
    kind = "model" if change.ruleset.startswith(MODEL) else "ruleset"
    shown = {"mode": change.mode, "percent": change.percent, "note": change.note}
    after = json.dumps(shown, ensure_ascii=False).encode()
    who = (change.at_ms, "", change.author)
    return AuditEntry(*who, change.mode, kind, change.ruleset, after=after)


class RuleSets(Tables):
    """Tables of rule sets and of the policy log."""

    async def add(self, made: Stored) -> bool:
        """Store a rule set; False if it exists already."""
        try:
            async with self._write() as c:
                await c.execute(insert(t.rulesets).values(**asdict(made)))
        except IntegrityError:
            return False
        return True

    async def count(self) -> int:
        """Count the rule sets."""
        async with self._read() as c:
            return int((await c.execute(select(func.count()).select_from(t.rulesets))).scalar_one())

    async def find(self, ruleset: str) -> Stored | None:
        """Return a rule set by id, or None."""
        async with self._read() as c:
            found = (await c.execute(select(t.rulesets).where(t.rulesets.c.id == ruleset))).first()
        return Stored(*found) if found is not None else None

    async def listed(self) -> list[Stored]:
        """Return all rule sets without their texts, the newest first."""
        r = t.rulesets.c
        query = select(r.id, r.author, r.created_ms, r.name).order_by(r.created_ms.desc(), r.id)
        async with self._read() as c:
            return [Stored(row.id, "", *row[1:]) for row in await c.execute(query)]

    async def version(self) -> int:
        """Return the number of the latest change; 0 without any."""
        async with self._read() as c:
            return int((await c.execute(select(func.max(t.ruleset_changes.c.n)))).scalar() or 0)

    async def changes(self) -> list[Change]:
        """Return all changes, oldest first."""
        query = select(t.ruleset_changes).order_by(t.ruleset_changes.c.n)
        async with self._read() as c:
            rows = await c.execute(query)
            return [_change(*row) for row in rows]

    async def change(self, version: int, made: Sequence[Change]) -> bool:
        """Append changes after `version`, all or none; False if another change was first."""
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
                for change in made:
                    await append(c, _entry(change))
        except IntegrityError:
            return False
        return True
