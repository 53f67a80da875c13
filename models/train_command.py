"""Training for `spendgate models train`: the part that needs scikit-learn.

It takes rows from a decision log, a file or a simulation, and writes a model and its report.
"""

from __future__ import annotations

import zipfile
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from models.artifact import dump, load
from models.errors import ModelError
from models.evaluate import Figures, write
from models.feature_table import matrix
from models.features import FEATURES, specs_of
from models.simulate import simulate
from models.train import Costs, Rows, split_of, train
from models.world import GOOD, SCENARIOS, Size

__all__ = ["Costs", "collected", "loaded", "simulated", "trained"]


class Collected(Protocol):
    """Rows of a decision log by columns; times are Unix ms (0: never), amounts micros."""

    features: tuple[str, ...]
    at_ms: list[int]
    amounts: list[int]
    vectors: list[array[float]]
    told_ms: list[int]
    cleared_ms: list[int]


def collected(of: Collected) -> Rows:
    """Convert the rows of a decision log. Raises ModelError if there are none."""
    if not of.at_ms:
        raise ModelError("there are no decisions in that time")
    order = np.argsort(np.array(of.at_ms, np.int64), kind="stable")
    columns = (of.at_ms, of.amounts, of.told_ms, of.cleared_ms)
    at_ms, amounts, told, cleared = (np.array(column, np.int64)[order] for column in columns)
    # Clocks differ: a label must not be earlier than its request.
    told = np.where(told > 0, np.maximum(told, at_ms), 0)
    vectors = np.array(of.vectors, float)[order]
    is_fraud = (told > 0) & (cleared == 0)
    return Rows(of.features, vectors, at_ms, amounts, told, is_fraud, cleared_ms=cleared)


def simulated(tokens: Sequence[int], days: int, seed: int) -> Rows:
    """Simulate a world of so many days and return its rows, whose truth is known."""
    world = simulate(np.array(tokens, np.int64), Size(days=days), seed)
    at = world.log.requests
    scenario = world.scenario[at]
    return Rows(
        tuple(spec.name for spec in FEATURES),
        matrix(world.log, FEATURES),
        world.log.at_ms[at],
        world.log.amounts[at],
        world.fraud_told_ms[at],
        scenario != GOOD,
        scenario,
        SCENARIOS,
    )


def loaded(file: Path) -> Rows:
    """Load rows from an .npz of features, vectors, at_ms, amounts and told_ms. Raises ModelError.

    If the file has `ids`, a request may occur twice, but not with two labels.
    """
    try:
        with np.load(file, allow_pickle=False) as data:
            told = {name: data[name] for name in data.files}
        names = tuple(str(name) for name in told["features"])
        vectors = told["vectors"].astype(float)
        whole = [told[name].astype(np.int64) for name in ("at_ms", "amounts", "told_ms")]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ModelError(f"{file} is no table of training rows: {error}") from None
    specs_of(names)
    if vectors.shape != (len(whole[0]), len(names)) or len({len(column) for column in whole}) != 1:
        raise ModelError(f"{file}: each row has a value of each feature, a moment and an amount")
    if "ids" in told:
        _check_ids(told["ids"], whole[2] > 0)
    order = np.argsort(whole[0], kind="stable")
    at_ms, amounts, told_ms = (column[order] for column in whole)
    return Rows(names, vectors[order], at_ms, amounts, told_ms, told_ms > 0)


def _check_ids(ids: object, is_fraud: object) -> None:
    names, flags = np.asarray(ids).astype(str), np.asarray(is_fraud)
    both = set(names[flags].tolist()) & set(names[~flags].tolist())
    if both:
        raise ModelError(f"the labels of {min(both)} contradict: it is told to be both")


def trained(rows: Rows, spans_ms: tuple[int, int], costs: Costs, out: Path) -> tuple[Figures, str]:
    """Train a model and write its card, plots and page; return its figures and its proved text.

    `spans_ms` has the delay of labels, and the length of the beginning that only fills windows.
    Raises ModelError.
    """
    delay_ms, skip_ms = spans_ms
    split = split_of(rows, delay_ms, skip_ms)
    made = train(rows, split, costs, from_ms=int(rows.at_ms[0]) + skip_ms)
    text = dump(made.content, made.golden)
    load(text)
    return write(made, out, "Fraud model"), text
