"""The gateway, caller and org of the rules' scenarios: nothing is in force when a test begins."""

from __future__ import annotations

from tests.scenarios.rules.conftest import caller, gateway, org

__all__ = ["caller", "gateway", "org"]
