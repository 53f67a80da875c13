"""The parts that the life of rule sets and models needs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from gateway.catalog.backtests import Backtests
from gateway.flows.decisions.services import DecisionServices


@dataclass(frozen=True, kw_only=True)
class RolloutServices(DecisionServices):
    """Beyond those of decisions: backtests, and what runs on after a call."""

    backtests: Backtests
    comparing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while models are compared on the log: one comparison at a time."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """Tasks that a call began and that go on after it."""
