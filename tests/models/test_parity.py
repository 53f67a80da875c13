"""Features are the same live and in training: one definition, two engines, not one bit between."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from gateway.cli.demo.data import trace
from loadtests.worlds import Stream
from models.feature_table import matrix
from models.features import FEATURES
from models.simulate import simulate
from models.world import Size, World

SMALL = Size(days=40, orgs=14, free_orgs=40, leaks=4, resellers=1, farms=1, card_testers=4)
LARGE = Size(days=60, orgs=340, free_orgs=600)
"""More than half a million events: with PARITY=long."""
IS_LONG = os.environ.get("PARITY") == "long"


def world(size: Size, seed: int) -> World:
    tokens = np.array([one.input_tokens + one.output_tokens for one in trace()])
    return simulate(tokens, size, seed)


@pytest.mark.parametrize("seed", [3])
def test_the_table_is_what_the_stream_shows_to_the_last_bit(seed: int) -> None:
    of = world(LARGE if IS_LONG else SMALL, seed)
    stream = Stream(of)
    records = stream.records()
    started = time.perf_counter()
    streamed = np.array(list(stream.vectors(records)))
    streaming_s = time.perf_counter() - started
    started = time.perf_counter()
    table = matrix(of.log, FEATURES)
    table_s = time.perf_counter() - started
    events = len(of.log.at_ms)
    print(
        f"\n{events:,} events, {table.size:,} values: streaming {events / streaming_s:,.0f}/s,"
        f" table {events / table_s:,.0f}/s"
    )
    for place, spec in enumerate(FEATURES):
        differs = ~(
            (streamed[:, place] == table[:, place])
            | (np.isnan(streamed[:, place]) & np.isnan(table[:, place]))
        )
        rows = np.flatnonzero(differs)
        shown = (streamed[rows[:3], place], table[rows[:3], place])
        assert not len(rows), f"{spec.name}: {len(rows)} of {len(differs)} differ: {shown}"


def test_no_feature_of_a_world_is_the_same_for_all() -> None:
    """A comparison of columns that say nothing would prove nothing."""
    table = matrix(world(SMALL, 3).log, FEATURES)
    for place, spec in enumerate(FEATURES):
        column = table[:, place][~np.isnan(table[:, place])]
        assert len(np.unique(column)) > 1, spec.name
