"""Models as submitted, under the hash of their text; never altered."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from gateway.catalog import schema as t
from gateway.catalog.tables import Tables


class StoredModel(Struct, frozen=True):
    """A model's text, and its `head`: JSON that describes it, so that lists need no text."""

    id: str
    text: str
    head: str
    author: str
    created_ms: int


class Models(Tables):
    """Table of models."""

    async def add(self, made: StoredModel) -> bool:
        """Store a model; False if it exists already."""
        try:
            async with self._write() as c:
                await c.execute(insert(t.models).values(**asdict(made)))
        except IntegrityError:
            return False
        return True

    async def count(self) -> int:
        """Count the models."""
        async with self._read() as c:
            return int((await c.execute(select(func.count()).select_from(t.models))).scalar_one())

    async def find(self, model: str) -> StoredModel | None:
        """Return a model by id, or None."""
        async with self._read() as c:
            found = (await c.execute(select(t.models).where(t.models.c.id == model))).first()
        return StoredModel(*found) if found is not None else None

    async def listed(self) -> list[StoredModel]:
        """Return all models without their texts, the newest first."""
        m = t.models.c
        query = select(m.id, m.head, m.author, m.created_ms).order_by(m.created_ms.desc(), m.id)
        async with self._read() as c:
            return [StoredModel(row.id, "", *row[1:]) for row in await c.execute(query)]
