"""The parts that analyses of the log need."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.catalog.labels import Labels
from gateway.flows.risk.services import RiskServices
from gateway.ledger.history import History


@dataclass(frozen=True, kw_only=True)
class AnalysisServices(RiskServices):
    """Beyond those of risk: the log, and labels."""

    history: History
    labels: Labels
