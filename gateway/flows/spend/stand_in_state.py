"""Stand-in approvals of this worker: its allowance in an outage, and what is left to settle."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from msgspec import Struct, msgpack

from gateway.core import plan
from gateway.core.commands import Idempotency, Mode
from gateway.errors import CallerError
from gateway.flows.spend.journal import Journal
from gateway.wire.answers.spend import AuthorizeAnswer

MOST_UNACKNOWLEDGED = 100_000
MINUTE_S = 60


class Unacknowledged(Struct, frozen=True):
    """A request that was answered `store_unavailable` and may have been decided nevertheless."""

    decision_id: str
    org: str
    idempotency: Idempotency | None
    at_s: float


class StandInApproval(Struct, frozen=True):
    """A request approved without the store: all that is needed to charge it afterwards."""

    id_body: str
    request: plan.Request
    amount_micros: int
    at_ms: int
    idempotency: Idempotency | None


_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(StandInApproval)
encode_opened, decode_opened = _encoder.encode, _decoder.decode


class StandIn:
    """Allowance of this worker in an outage, and the decisions it has to settle afterwards.

    `shares`: the number of workers that divide an org's amount per minute.
    """

    def __init__(self, journal: Journal, shares: int) -> None:
        self.journal = journal
        self.unacknowledged: deque[Unacknowledged] = deque(maxlen=MOST_UNACKNOWLEDGED)
        self._shares = shares
        self._minute = 0
        self._spent: dict[str, int] = {}
        self._answers: dict[str, tuple[bytes, AuthorizeAnswer]] = {}

    @property
    def unsettled(self) -> int:
        """Decisions that have to be reversed or charged once the store answers."""
        return len(self.unacknowledged) + len(self.journal.waiting)

    def take(self, org: str, amount_micros: int, most_micros: int) -> bool:
        """Take an amount of this worker's share of the minute; False when it is not there."""
        minute = int(time.monotonic()) // MINUTE_S
        if minute != self._minute:
            self._minute, self._spent = minute, {}
        spent = self._spent.get(org, 0) + amount_micros
        if spent > most_micros // self._shares:
            return False
        self._spent[org] = spent
        return True

    def give_back(self, org: str, amount_micros: int) -> None:
        """Return an amount that was taken and not used."""
        self._spent[org] = self._spent.get(org, 0) - amount_micros

    def note_unacknowledged(
        self, decision_id: str, request: plan.Request, idempotency: Idempotency | None
    ) -> None:
        """Note a request that was refused without knowing what the store decided."""
        if request.mode is not Mode.DRY:
            now_s = asyncio.get_running_loop().time()
            self.unacknowledged.append(
                Unacknowledged(decision_id, request.lineage.org, idempotency, now_s)
            )

    def note_held(self, decision_id: str, org: str) -> None:
        """Note a refused request whose hold may still be open."""
        now_s = asyncio.get_running_loop().time()
        self.unacknowledged.append(Unacknowledged(decision_id, org, None, now_s))

    def answered(self, idempotency: Idempotency | None) -> AuthorizeAnswer | None:
        """The stand-in answer of a retry, or None. Raises CallerError on another body."""
        found = self._answers.get(idempotency.name) if idempotency else None
        if found is None or idempotency is None:
            return None
        if found[0] != idempotency.digest:
            detail = "this idempotency key came with another body before"
            raise CallerError("idempotency_key_reused", detail)
        return found[1]

    def keep(self, idempotency: Idempotency | None, answer: AuthorizeAnswer) -> None:
        """Answer a repeated call the same, until the store can."""
        if idempotency is not None:
            self._answers[idempotency.name] = (idempotency.digest, answer)

    def end(self) -> None:
        """The store answers, and knows what was allowed without it."""
        self._answers.clear()
