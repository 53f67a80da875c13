"""The main job, run for real: a part of the hour through a gateway of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from gateway.cli.demo.audit import cost_micros
from gateway.cli.demo.replay import Charge


def test_the_demo_ends_with_books_that_agree_with_the_trace() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SPENDGATE_")}
    run = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "demo", "--once", "--requests", "1500"],
        capture_output=True,
        check=False,
        text=True,
        timeout=180,
        env={**environment, "COLUMNS": "120"},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "reconcile: ok" in run.stdout

    def usd(label: str) -> str:
        found = re.search(rf"{label}\s+([\d.,]+) USD", run.stdout)
        assert found is not None, run.stdout
        return found[1]

    assert (
        usd("recomputed from the trace")
        == usd("revenue in the ledger")
        == usd("answered to callers")
    )
    assert usd("debits - credits") == "0.000000"
    for way in ("held and captured", "streamed", "captured at once", "retried", "abandoned"):
        assert re.search(rf"{way}\s+[1-9]", run.stdout), way


def test_the_audit_rounds_once_and_half_even() -> None:
    # A token costs 2.5 micros: one makes a tie that goes down to 2, three one that goes up to 8.
    assert cost_micros(Charge("gpt-4o", 0, {"input_tokens": 1}, 0, 0)) == 2
    assert cost_micros(Charge("gpt-4o", 0, {"input_tokens": 3}, 0, 0)) == 8
    # 0.5 micros of each unit together are 1: rounded alone, each would be 0.
    both = {"input_tokens": 1, "cached_input_tokens": 2}
    assert cost_micros(Charge("gpt-4o", 8000, both, 0, 0)) == 1
