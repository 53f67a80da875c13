"""The parts that use cases of every room need."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.catalog.catalog import Catalog
from gateway.core import ids
from gateway.flows.shared.chance import Chance
from gateway.flows.shared.profiles import Profiles
from gateway.flows.shared.store_clock import StoreClock
from gateway.ledger.reader import Ledger
from gateway.observe.hooks import Hooks
from gateway.settings import Settings
from gateway.store import keys
from gateway.store.port import Store


@dataclass(frozen=True, kw_only=True)
class SharedServices:
    """Parts that every room may use. `secret` is the key of pseudonyms."""

    settings: Settings
    store: Store
    catalog: Catalog
    ledger: Ledger
    profiles: Profiles
    clock: StoreClock
    hooks: Hooks
    secret: bytes
    chance: Chance = field(default_factory=Chance)

    def new_id_body(self, org: str) -> str:
        """The body of a new id in the org's shard."""
        return ids.make(self.clock.now_ms(), keys.shard_of(org), self.chance.bits())
