"""What every use case works with."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from dataclasses import dataclass, field

from msgspec import Struct, msgpack

from gateway.catalog.backtests import Backtests
from gateway.catalog.catalog import Catalog
from gateway.catalog.credentials import Credential, Credentials
from gateway.catalog.labels import Labels
from gateway.catalog.lists import Lists
from gateway.catalog.matches import Matches
from gateway.catalog.models import Models
from gateway.catalog.rulesets import RuleSets
from gateway.core import ids, names
from gateway.core.orders import Idempotency, Reply
from gateway.errors import CallerError
from gateway.flows.clock import StoreClock
from gateway.flows.outage import Outage
from gateway.flows.policies import Rules
from gateway.flows.profiles import Profiles
from gateway.ledger.history import History
from gateway.ledger.reader import Ledger
from gateway.observe.hooks import Hooks
from gateway.settings import Settings
from gateway.store import keys
from gateway.store.port import Result, Store
from gateway.wire.ids import Message

_canonical = msgpack.Encoder(order="deterministic").encode

DIGEST_BYTES = 16
STALE_PATIENCE_S = 5.0
"""How long a call plans anew before it gives up."""


class Chance:
    """Random bits for ids, fetched from the system for many ids at a time."""

    _EACH, _MANY = -(-ids.CHANCE_BITS // 8), 256

    def __init__(self) -> None:
        self._pool, self._at = b"", 0

    def bits(self) -> int:
        """CHANCE_BITS of them, never the same again."""
        if self._at >= len(self._pool):
            self._pool, self._at = secrets.token_bytes(self._EACH * self._MANY), 0
        self._at += self._EACH
        return int.from_bytes(self._pool[self._at - self._EACH : self._at], "big") >> 2


@dataclass
class Health:
    """What a worker knows of the parts behind it; its chores keep it up to date."""

    backlog: int = 0
    stopped_by: str = ""
    """Why the ledger's writer has stopped for good, "" while it has not."""
    is_draining: bool = False
    memory: float = 0.0
    """How much of what the store may use is used, 0 to 1."""


@dataclass(frozen=True)
class Gateway:
    """The parts of one worker. `secret` keys the hashes of personal data."""

    settings: Settings
    store: Store
    catalog: Catalog
    credentials: Credentials
    ledger: Ledger
    history: History
    profiles: Profiles
    clock: StoreClock
    hooks: Hooks
    secret: bytes
    outage: Outage
    rulesets: RuleSets
    rules: Rules
    labels: Labels
    matches: Matches
    lists: Lists
    backtests: Backtests
    models: Models
    chance: Chance = field(default_factory=Chance)
    health: Health = field(default_factory=Health)
    comparing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Whoever has it compares models on the log: one at a time."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """What was begun by a call and goes on behind it."""

    @property
    def is_backlogged(self) -> bool:
        """Whether so many records wait for the ledger that no more may be made."""
        is_full = self.health.backlog >= self.settings.backlog_bound
        return is_full or bool(self.health.stopped_by)

    @property
    def backlog_detail(self) -> str:
        """Why nothing more may be decided while `is_backlogged`."""
        if self.health.stopped_by:
            return "the ledger's writer has stopped: what is not booked must not be spent"
        return f"{self.health.backlog} records wait for the ledger; try again later"

    def new_id_body(self, org: str) -> str:
        """The body of a new id in the org's shard."""
        return ids.make(self.clock.now_ms(), keys.shard_of(org), self.chance.bits())


class Caller(Struct, frozen=True):
    """Who calls, on which path, with which idempotency key ("" for none)."""

    credential: Credential
    path: str
    idempotency_key: str = ""

    def check_org(self, org: str) -> None:
        """Raise 404 when the credential is bound to another org: that one does not exist here."""
        bound = self.credential.org
        if bound and bound != org:
            raise CallerError("not_found", f"there is no org {org} for you", status=404)

    def check_unbound(self, what: str) -> None:
        """Raise 403 when the credential is bound to one org: what it does concerns all."""
        if self.credential.org:
            detail = f"a credential bound to one org cannot {what}"
            raise CallerError("forbidden", detail, status=403)

    def idempotency(self, org: str, body: Message, kept_s: int) -> Idempotency | None:
        """The scoped name and body digest of this call, or None without a key."""
        if not self.idempotency_key:
            return None
        scope = "\n".join((self.credential.id, self.path, org, self.idempotency_key))
        name = hashlib.blake2b(scope.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return Idempotency(names.outcome(name), body_digest(body), kept_s * 1000)


def body_digest(body: Message) -> bytes:
    """A digest of what a body says, whatever its formatting."""
    return hashlib.blake2b(_canonical(body), digest_size=DIGEST_BYTES).digest()


async def kept_or(
    gateway: Gateway,
    org: str,
    idempotency: Idempotency | None,
    result: type[Result],
    error: CallerError,
) -> Reply:
    """What was answered under this key before the world changed; raises `error` when nothing was.

    A repeated call gets its first answer even where it could not be made anew.
    """
    reply = None
    if idempotency is not None:
        reply = await gateway.store.kept(org, idempotency, result)
    if reply is None:
        raise error
    return reply


def reused() -> CallerError:
    """The same idempotency key came with another body."""
    return CallerError(
        "idempotency_key_reused", "this idempotency key came with another body before"
    )


def exactly_one(quantity: object, amount: object, names: str) -> None:
    """Raise CallerError unless exactly one of two is given."""
    if (quantity is None) == (amount is None):
        raise CallerError("invalid_request", f"give exactly one of {names}")
