"""A store that fills up or whose clock jumps is told of once each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.observe.metrics import CountingHooks
from gateway.wiring.store_watch import StoreWatch

HOUR_MS = 3_600_000


def watch_of(tmp_path: Path, said: list[str]) -> StoreWatch:
    nothing: Any = None
    return StoreWatch(nothing, nothing, CountingHooks(tmp_path / "x.json"), said.append)


def test_a_full_store_is_told_once_until_it_is_full_again(tmp_path: Path) -> None:
    said: list[str] = []
    watch = watch_of(tmp_path, said)
    for used in (79, 80, 85, 99, 70, 81):
        watch.look_at_memory(used << 20, 100 << 20)
    assert len(said) == 2
    assert "80% of its 100 MiB" in said[0]
    watch.look_at_memory(10**12, 0)
    assert len(said) == 2, "a store without a bound is never full"


def test_a_clock_that_jumps_is_told_and_one_that_drifts_is_not(tmp_path: Path) -> None:
    said: list[str] = []
    watch = watch_of(tmp_path, said)
    now_ms, passed_s = 1_700_000_000_000, 5.0
    for moved_ms, took_s in (
        (0, 0),
        (2_000, 2),
        (2_300, 2),
        (3_602_000, 2),
        (2_000, 2),
        (-3_598_000, 2),
        (10_000, 10),
    ):
        now_ms, passed_s = now_ms + moved_ms, passed_s + took_s
        watch.look_at_clock(now_ms, passed_s)
    assert [line.split(":")[0] for line in said] == [
        "the store's clock jumped by +3600.0 s",
        "the store's clock jumped by -3600.0 s",
    ]
