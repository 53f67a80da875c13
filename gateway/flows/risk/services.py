"""The parts that use cases about risk need."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.catalog.lists import Lists
from gateway.catalog.policy_log import RuleSets
from gateway.flows.risk.policies import Rules
from gateway.flows.shared.services import SharedServices


@dataclass(frozen=True, kw_only=True)
class RiskServices(SharedServices):
    """Beyond what all share: policies in force, their log, and lists."""

    rules: Rules
    rulesets: RuleSets
    lists: Lists
