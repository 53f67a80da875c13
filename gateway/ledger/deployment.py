"""Identity of a ledger: the deployment it belongs to, and the hashes of its batches."""

from __future__ import annotations

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError

from gateway.errors import Unavailable
from gateway.ledger import schema as t
from gateway.ledger.reading import Reading


class DeploymentOf(Reading):
    """Queries that prove a ledger before it is used. Every method raises Unavailable."""

    async def id(self) -> str:
        """Return the deployment's id, "" if the ledger is new."""
        found = await self._all(select(t.deployment.c.id))
        return str(found[0][0]) if found else ""

    async def claim(self, known: str) -> None:
        """Store the deployment's id in a new ledger; a ledger that has one keeps it."""
        try:
            async with self._engine.begin() as c:
                await c.execute(insert(t.deployment).values(n=1, id=known))
        except IntegrityError:
            return
        except (OperationalError, InterfaceError, OSError) as error:
            raise Unavailable("ledger_unavailable", "the ledger does not answer") from error

    async def batch_hash(self, n: int) -> bytes:
        """Return the hash of batch `n`, b"" if it does not exist."""
        found = await self._all(select(t.batches.c.hash).where(t.batches.c.n == n))
        return bytes(found[0][0]) if found else b""
