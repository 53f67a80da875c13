"""Which deployment a ledger belongs to, and which batch has which number."""

from __future__ import annotations

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError

from gateway.errors import Unavailable
from gateway.ledger import schema as t
from gateway.ledger.reading import Reading


class DeploymentOf(Reading):
    """What is asked of a ledger before it is trusted. Raises Unavailable."""

    async def id(self) -> str:
        """The deployment's id, "" where the ledger is new."""
        found = await self._all(select(t.deployment.c.id))
        return str(found[0][0]) if found else ""

    async def claim(self, known: str) -> None:
        """Let a new ledger belong to a deployment; one that belongs to one stays as it is."""
        try:
            async with self._engine.begin() as c:
                await c.execute(insert(t.deployment).values(n=1, id=known))
        except IntegrityError:
            return
        except (OperationalError, InterfaceError, OSError) as error:
            raise Unavailable("ledger_unavailable", "the ledger does not answer") from error

    async def batch_hash(self, n: int) -> bytes:
        """The hash of a batch, b"" where there is none of that number."""
        found = await self._all(select(t.batches.c.hash).where(t.batches.c.n == n))
        return bytes(found[0][0]) if found else b""
