"""The handbook's table, from the raw transactions; and that no feature knows what comes later."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models import handbook
from models.column_counters import Real
from models.errors import ModelError
from models.handbook import DAY_MS, PUBLISHED, Transactions, features
from tests.house.source import ROOT

NAME = "handbook_transactions_2018-06-17_2018-08-14.csv.gz"
FILE = Path(os.environ.get("HANDBOOK", ROOT.parent / "shared" / "data" / NAME))
needs_data = pytest.mark.skipif(
    not FILE.exists(),
    reason=f"{NAME} is not there (it may not be copied): name it in HANDBOOK",
)


@needs_data
def test_the_published_table_is_reproduced_and_ours_is_above_it() -> None:
    of = handbook.read(FILE)
    trains, tests = handbook.split(of, handbook.TRAIN, handbook.TEST)
    sizes = (len(trains), of.frauds[trains].sum(), len(tests), of.frauds[tests].sum())
    assert sizes == (67_240, 598, 58_264, 385)
    found = handbook.rows(of)
    print()
    for name, values in found.items():
        print(f"{name:<30}", *(f"{v:.3f}" for v in values), "published", *PUBLISHED.get(name, ()))
    for name in ("logistic regression", "random forest (100)"):
        for ours, theirs in zip(found[name], PUBLISHED[name], strict=True):
            assert abs(ours - theirs) <= 0.005, (name, found[name])
    auc, precision, cards = found["ours"]
    assert auc >= 0.88 and precision >= 0.66 and cards >= 0.29


def some(seed: int) -> Transactions:
    chance, count = np.random.default_rng(seed), 3_000
    return Transactions(
        np.sort(chance.integers(0, 45 * DAY_MS, count)),
        chance.integers(0, 20, count),
        chance.integers(0, 12, count),
        chance.integers(100, 30_000, count).astype(float),
        (chance.random(count) < 0.1).astype(np.int64),
    )


def upto(found: Mapping[str, Real], row: int) -> dict[str, list[float]]:
    return {name: column[: row + 1].tolist() for name, column in found.items()}


@pytest.mark.parametrize("row", [900, 1_800, 2_700])
def test_no_feature_knows_later_amounts_or_labels_younger_than_their_delay(row: int) -> None:
    of = some(row)
    now_ms = of.at_ms[row]
    later = np.arange(len(of.at_ms)) > row
    unknown = of.at_ms > now_ms - 7 * DAY_MS
    changed = replace(
        of,
        cents=np.where(later, 10 * of.cents, of.cents),
        frauds=np.where(unknown, 1 - of.frauds, of.frauds),
    )
    assert upto(features(changed), row) == upto(features(of), row)
    known = replace(of, frauds=np.where(of.at_ms <= now_ms - 7 * DAY_MS, 1, of.frauds))
    assert upto(features(known), row) != upto(features(of), row)


def test_a_file_that_is_not_the_table_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.csv.gz"
    file.write_bytes(b"no table")
    with pytest.raises(ModelError, match=r"other\.csv\.gz is not the handbook's table"):
        handbook.read(file)
