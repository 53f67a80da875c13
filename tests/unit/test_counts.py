"""What is counted for /metrics is what happened: a dry run allows no money."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from gateway.core.commands import Mode
from gateway.observe.metrics import CountingHooks, exposition


class Terms:
    currency = "USD"


class Request:
    """As much of a request's record as is counted."""

    risk = None
    amount = 5
    terms = Terms()

    def __init__(self, mode: Mode) -> None:
        self.mode = mode


@pytest.mark.parametrize(("mode", "micros"), [(Mode.HOLD, 5), (Mode.CAPTURE, 5), (Mode.DRY, 0)])
def test_money_is_counted_where_it_was_allowed(tmp_path: Path, mode: Mode, micros: int) -> None:
    hooks = CountingHooks(tmp_path / "worker.json")
    hooks.on_decision(cast(Any, Request(mode)), allowed=True, code=0)
    hooks.write()
    text = exposition(tmp_path).decode()
    line = f'spendgate_allowed_micros_total{{currency="USD"}} {micros}.0'
    assert (line in text) == bool(micros)
    assert 'spendgate_decisions_total{outcome="allow",reason="none"} 1.0' in text


def test_a_torn_file_of_counts_is_passed_over(tmp_path: Path) -> None:
    hooks = CountingHooks(tmp_path / "worker.json")
    hooks.on_stale()
    hooks.write()
    (tmp_path / "torn.json").write_bytes(b'{"counters": {"spendgate_st')
    assert "spendgate_stale_plans_total 1.0" in exposition(tmp_path).decode()
