"""The parts that decisions about money need."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.flows.accounts.services import AccountServices
from gateway.flows.risk.services import RiskServices
from gateway.flows.spend.stand_in_state import StandIn


@dataclass
class Health:
    """State of store and ledger as this worker knows it; background tasks keep it up to date."""

    backlog: int = 0
    stopped_by: str = ""
    """Why the ledger's writer has stopped for good, "" while it has not."""
    is_draining: bool = False
    memory: float = 0.0
    """Used share of the store's memory, 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class SpendServices(RiskServices, AccountServices):
    """Beyond those of risk and accounts: this worker's part in an outage, and its health."""

    outage: StandIn
    health: Health = field(default_factory=Health)

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
