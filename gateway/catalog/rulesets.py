"""Rule sets by the hash of their text, and the changes that say which of them decide.

Neither is ever altered: a change is one more row, and what stands now follows from all of them. So
going back is one more change, and who did what when is never lost.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.catalog import schema as t
from gateway.errors import Unavailable

EVERYBODY = 100
ROLLED_BACK = "rolled back"
"""How the notes of changes begin that put back what was."""
Share = tuple[tuple[str, int], ...]
"""Rule sets in force with their share of orgs in percent, the newest first."""


class Stored(Struct, frozen=True):
    """A rule set as it was handed in."""

    id: str
    text: str
    author: str
    created_ms: int


class Change(Struct, frozen=True):
    """A rule set was set to `shadow`, `active` (of `percent` of the orgs) or `retired`."""

    n: int
    ruleset: str
    mode: str
    percent: int
    author: str
    note: str
    at_ms: int


class Standing(Struct, frozen=True):
    """What decides now: rule sets with their share of orgs, the newest first, and the shadows.

    The last of `active` has all orgs that no other takes, unless its share is smaller.
    """

    version: int
    active: Share
    shadows: tuple[str, ...]


def standing(changes: Iterable[Change]) -> Standing:
    """What follows from all changes, oldest first.

    One that is active for everybody retires all that were active before. One for a share stands
    before them: its orgs are decided by it, the others as before.
    """
    version, active, shadows = 0, dict[str, int](), dict[str, None]()
    for change in changes:
        version = change.n
        active.pop(change.ruleset, None)
        shadows.pop(change.ruleset, None)
        if change.mode == "shadow":
            shadows[change.ruleset] = None
        elif change.mode == "active":
            if change.percent >= EVERYBODY:
                active.clear()
            active[change.ruleset] = change.percent
    return Standing(version, tuple(reversed(active.items())), tuple(shadows))


def before(changes: Sequence[Change]) -> Share | None:
    """What was in force before what is now; None when nothing was.

    What was rolled back is no more: going back twice goes two steps back.
    """
    states: list[Share] = [()]
    for count, change in enumerate(changes, 1):
        state = standing(changes[:count]).active
        if change.note.startswith(ROLLED_BACK):
            if state in states:
                del states[states.index(state) + 1 :]
        elif state != states[-1]:
            states.append(state)
    return states[-2] if len(states) > 1 else None


class RuleSets:
    """Rule sets in the catalog. Every method raises Unavailable when SQL does not answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.begin() as connection:
                yield connection
        except (OperationalError, OSError) as error:
            raise Unavailable("catalog_unavailable", "the catalog does not answer") from error

    async def add(self, made: Stored) -> bool:
        """Keep a rule set; False when it is there already."""
        try:
            async with self._connection() as c:
                await c.execute(insert(t.rulesets).values(**_row(made)))
        except IntegrityError:
            return False
        return True

    async def text(self, ruleset: str) -> Stored | None:
        """A rule set, or None."""
        async with self._connection() as c:
            found = (await c.execute(select(t.rulesets).where(t.rulesets.c.id == ruleset))).first()
        return Stored(*found) if found is not None else None

    async def listed(self) -> list[Stored]:
        """All rule sets, the newest first."""
        query = select(t.rulesets).order_by(t.rulesets.c.created_ms.desc(), t.rulesets.c.id)
        async with self._connection() as c:
            return [Stored(*row) for row in await c.execute(query)]

    async def version(self) -> int:
        """The number of the latest change; 0 without any."""
        async with self._connection() as c:
            return int((await c.execute(select(func.max(t.ruleset_changes.c.n)))).scalar() or 0)

    async def changes(self) -> list[Change]:
        """All changes, oldest first."""
        query = select(t.ruleset_changes).order_by(t.ruleset_changes.c.n)
        async with self._connection() as c:
            return [Change(*row) for row in await c.execute(query)]

    async def change(self, made: Change) -> bool:
        """Add a change behind the one before it; False when somebody else was first."""
        try:
            async with self._connection() as c:
                await c.execute(insert(t.ruleset_changes).values(**_row(made)))
        except IntegrityError:
            return False
        return True


def _row(made: Struct) -> dict[str, object]:
    return {name: getattr(made, name) for name in made.__struct_fields__}
