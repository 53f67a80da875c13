"""Ids we make: they sort by time and carry their shard."""

from __future__ import annotations

import re

import pytest

from gateway.core import ids
from gateway.store.keys import SHARDS
from tests.unit.core.making import NOON


@pytest.mark.parametrize("shard", range(SHARDS))
def test_an_id_carries_its_shard(shard: int) -> None:
    body = ids.make(NOON, shard, 2**70 - 1)
    assert ids.shard_in(ids.HOLD + body) == shard
    assert ids.shard_in(ids.GRANT + body) == shard
    assert ids.shard_in(body) == shard


def test_an_id_is_26_digits_that_nobody_misreads() -> None:
    body = ids.make(NOON, 7, 12345)
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", body)
    assert len(set(ids.ALPHABET)) == 32
    assert not set("ILOU") & set(ids.ALPHABET)


def test_ids_sort_by_time() -> None:
    moments = [0, 1, 31, 32, 1023, 1024, NOON - 1, NOON, NOON + 1, 2**50 - 1]
    made = [ids.make(t, 255 - i, 2**69 - i) for i, t in enumerate(moments)]
    assert made == sorted(made)


def test_chance_tells_ids_of_one_moment_and_shard_apart() -> None:
    made = {ids.make(NOON, 7, chance) for chance in (0, 1, 31, 32, 2**35, 2**69, 2**70 - 1)}
    assert len(made) == 7
    assert ids.CHANCE_BITS == 70


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hold_",
        "hold_01J",
        "hold_" + "0" * 25,
        "hold_" + "0" * 27,
        "hold_" + "0" * 25 + "U",  # not in the alphabet
        "hold_" + "0" * 25 + "o",  # neither is lower case
        "hold_" + "0" * 10 + "I0" + "0" * 14,
        "hold_" + "0" * 25 + "é",
        "hold_" + "0" * 25 + " ",
    ],
)
def test_what_is_no_id_of_ours_carries_no_shard(text: str) -> None:
    assert ids.shard_in(text) is None


def test_a_decision_and_its_hold_share_a_body() -> None:
    body = ids.make(NOON, 7, 9)
    assert ids.hold_of(ids.DECISION + body) == ids.HOLD + body
    assert ids.decision_of(ids.HOLD + body) == ids.DECISION + body
