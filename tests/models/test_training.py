"""Training: split by time, blind to what was told too late, and never on nonsense."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.cli.demo.data import trace
from models import train_command
from models.artifact import dump, load
from models.errors import ModelError
from models.features import FEATURES
from models.train import (
    DAY_MS,
    Costs,
    Rows,
    Settings,
    calibration_of,
    losses_of,
    split_of,
    thresholds_of,
    train,
)

NAMES = tuple(spec.name for spec in FEATURES)[:6]
QUICK = Settings(trees=20, leaves=6)
TOKENS = [one.input_tokens + one.output_tokens for one in trace()]


def some(seed: int = 0, count: int = 6_000) -> Rows:
    """Sixty days in which the first two features tell fraud, and labels come within a week."""
    chance = np.random.default_rng(seed)
    vectors = chance.normal(size=(count, len(NAMES)))
    odds = 2 * vectors[:, 0] + vectors[:, 1] * vectors[:, 2] + chance.normal(size=count)
    is_fraud = odds > np.quantile(odds, 0.93)
    at_ms = np.sort(chance.integers(1, 60 * DAY_MS, count))
    told_ms = np.where(is_fraud, at_ms + chance.integers(1, 7 * DAY_MS, count), 0)
    return Rows(NAMES, vectors, at_ms, chance.integers(1, 10**6, count), told_ms, is_fraud)


def made(rows: Rows) -> str:
    trained = train(rows, split_of(rows), settings=QUICK)
    return dump(trained.content, trained.golden)


def test_r7_a_label_that_comes_too_late_changes_nothing_of_the_model() -> None:
    """Thirty days late, of any row: the model is the same to the last byte without it."""
    rows, split = some(), split_of(some())
    late = np.flatnonzero(rows.is_fraud)[::3]
    told = rows.told_ms.copy()
    told[late] = np.maximum(split.test_ms, rows.at_ms[late] + 30 * DAY_MS)
    never = told.copy()
    never[late] = 0
    assert made(replace(rows, told_ms=told)) == made(replace(rows, told_ms=never))
    assert made(replace(rows, told_ms=told)) != made(rows)


def test_what_is_tested_on_is_later_than_all_that_was_learned_by_the_delay_of_labels() -> None:
    rows = some()
    split = split_of(rows, 9 * DAY_MS)
    assert rows.at_ms[0] < split.train_ms < split.calibrate_ms < split.test_ms < rows.at_ms[-1]
    assert split.test_ms - split.calibrate_ms == 9 * DAY_MS
    trained = train(rows, split, settings=QUICK)
    assert trained.test.at_ms.min() >= split.test_ms
    changed = replace(
        rows, vectors=np.where((rows.at_ms >= split.test_ms)[:, None], 9.0, rows.vectors)
    )
    assert made(changed) == made(rows)


def test_what_no_row_knows_is_left_out_of_the_model() -> None:
    rows = some()
    rows.vectors[:, 4] = np.nan
    content = load(made(rows)).content
    assert content.features == (*NAMES[:4], NAMES[5])


def test_a_label_that_was_taken_back_in_time_is_none_and_one_taken_back_later_was() -> None:
    rows, split = some(), split_of(some())
    some_of = np.flatnonzero(rows.is_fraud)[::4]
    cleared = np.zeros(len(rows.at_ms), np.int64)
    cleared[some_of] = rows.told_ms[some_of] + 1
    never = np.where(cleared > 0, 0, rows.told_ms)
    in_time = cleared * (cleared < split.test_ms)
    assert made(replace(rows, cleared_ms=in_time)) == made(
        replace(rows, told_ms=np.where(in_time > 0, 0, rows.told_ms))
    )
    late = np.where(cleared > 0, split.test_ms, 0)
    assert made(replace(rows, cleared_ms=late)) == made(rows) != made(replace(rows, told_ms=never))


def test_the_same_rows_make_the_same_model() -> None:
    assert made(some(3)) == made(some(3)) != made(some(4))


def test_a_model_tells_what_it_was_made_of() -> None:
    told = load(made(some())).content.trained
    assert told["rows"] > 0 < told["frauds"] < told["rows"]
    assert len(told["data"]) == 20 and told["trees"] == QUICK.trees


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no rows": ({"at_ms": np.array([], np.int64)}, "no rows"),
    "out of order": ({"at_ms": some().at_ms[::-1]}, "order of time"),
    "infinite": ({"vectors": np.full((6_000, 6), np.inf)}, "amount is infinite"),
    "told before it was": ({"told_ms": np.ones(6_000, np.int64)}, "before its request"),
    "nothing to test on": ({"is_fraud": np.zeros(6_000, bool)}, "among rows to test on"),
    "nothing known": ({"told_ms": np.zeros(6_000, np.int64)}, "fewer than 20 frauds"),
}


@pytest.mark.parametrize("kind", BAD)
def test_of_nonsense_no_model_is_made(kind: str) -> None:
    change, told = BAD[kind]
    rows = some()
    with pytest.raises(ModelError, match=told):
        train(replace(rows, **change), split_of(rows), settings=QUICK)


def test_of_no_rows_there_is_no_split() -> None:
    rows = some()
    none = replace(rows, at_ms=rows.at_ms[:0], vectors=rows.vectors[:0])
    with pytest.raises(ModelError, match="there are no rows"):
        split_of(none)


def test_a_day_is_too_short_to_be_split_by_time() -> None:
    rows = some()
    short = replace(rows, at_ms=rows.at_ms // 60)
    with pytest.raises(ModelError, match="it takes weeks"):
        split_of(short)


def test_a_threshold_is_where_errors_cost_least() -> None:
    scores = np.array([0.1, 0.2, 0.4, 0.6, 0.8, 0.9])
    is_fraud = np.array([False, False, True, False, True, True])
    amounts = np.array([5, 5, 10, 5, 100, 100])
    cuts, losses = losses_of(scores, is_fraud, amounts.astype(float), 30)
    assert dict(zip(cuts.tolist(), losses.tolist(), strict=True)) == {
        0.9: 110, 0.8: 10, 0.6: 40, 0.4: 30, 0.2: 60, 0.1: 90, np.inf: 210,
    }  # fmt: skip
    found = thresholds_of(scores, is_fraud, amounts, Costs(30, 1))
    assert found == {"block": 0.8, "review": 0.4}
    assert thresholds_of(scores, is_fraud, 0 * amounts, Costs(30, 1)) == {}


def test_calibrated_scores_are_shares_of_fraud() -> None:
    chance = np.random.default_rng(0)
    scores = chance.random(20_000)
    is_fraud = chance.random(20_000) < scores**2
    points = calibration_of(scores, is_fraud)
    assert 2 < len(points) <= 200
    for x in (0.2, 0.5, 0.9):
        near = min(points, key=lambda point: abs(point[0] - x))
        assert abs(near[1] - x**2) < 0.06


def test_one_command_makes_a_model_that_beats_the_baseline_out_of_time(tmp_path: Path) -> None:
    rows = train_command.simulated(TOKENS, 40, seed=2)
    spans = (5 * DAY_MS, 6 * DAY_MS)
    figures, text = train_command.trained(rows, spans, Costs(), tmp_path)
    assert load(text).content.thresholds["block"] > 0
    assert figures.model["average precision"] > figures.baseline["average precision"] + 0.02
    assert figures.recall["resale"][1] > 100 and figures.stopped_good < 0.05
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "card.md", "report.html", "roc.png", "precision_recall.png", "calibration.png", "cost.png",
        "scenarios.png", "features.png",
    }  # fmt: skip
    assert all((tmp_path / name).stat().st_size > 1_000 for name in names)
    card = (tmp_path / "card.md").read_text("utf-8")
    assert f"{figures.model['average precision']:.4f}" in card and "leaked key" in card


def table(tmp_path: Path, **change: Any) -> Path:
    rows = some()
    columns = {
        "features": np.array(NAMES), "vectors": rows.vectors, "at_ms": rows.at_ms,
        "amounts": rows.amounts, "told_ms": rows.told_ms, **change,
    }  # fmt: skip
    file = tmp_path / "rows.npz"
    np.savez(file, **{name: column for name, column in columns.items() if column is not None})
    return file


def test_a_table_is_read_whole_and_put_in_order(tmp_path: Path) -> None:
    rows = some()
    back = np.arange(len(rows.at_ms))[::-1]
    file = table(
        tmp_path, vectors=rows.vectors[back], at_ms=rows.at_ms[back],
        amounts=rows.amounts[back], told_ms=rows.told_ms[back],
    )  # fmt: skip
    found = train_command.loaded(file)
    assert found.features == NAMES and np.array_equal(found.vectors, rows.vectors)
    assert made(found) == made(replace(rows, is_fraud=rows.told_ms > 0))


IDS = np.array([f"r{n}" for n in range(6_000)])
TWICE = IDS.copy()
TWICE[np.flatnonzero(some().is_fraud)[0]] = TWICE[np.flatnonzero(~some().is_fraud)[0]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"vectors": None}, "no table of training rows"),
        ({"vectors": some().vectors[:, :3]}, "a value of each feature"),
        ({"features": np.array(["shoe_size"] * 6)}, "shoe_size"),
        ({"features": np.array([object()])}, "no table of training rows"),
        ({"ids": TWICE}, "contradict"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(ModelError, match=told):
        train_command.loaded(table(tmp_path, **change))


def test_a_table_with_ids_of_their_own_is_taken(tmp_path: Path) -> None:
    assert len(train_command.loaded(table(tmp_path, ids=IDS)).at_ms) == 6_000
