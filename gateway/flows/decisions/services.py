"""The parts that use cases about past decisions need."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.catalog.models import Models
from gateway.catalog.rule_matches import Matches
from gateway.flows.analysis.services import AnalysisServices


@dataclass(frozen=True, kw_only=True)
class DecisionServices(AnalysisServices):
    """Beyond those of analysis: what rules matched, and models."""

    matches: Matches
    models: Models
