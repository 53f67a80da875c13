"""The parts of a worker, joined for the handlers."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.flows.rollout.services import RolloutServices
from gateway.flows.spend.services import SpendServices


@dataclass(frozen=True, kw_only=True)
class Services(SpendServices, RolloutServices):
    """The parts of one worker, joined: each room of use cases sees what it declares."""
