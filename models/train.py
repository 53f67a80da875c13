"""Training: from vectors and labels to a model that is worth trying, beside a plain baseline.

Rows are split by time, and a label counts only where it was told before the model is made: late
ones leak nothing. Histogram boosting with a low rate and few leaves, as a high rate was measured to
fail on data of so few frauds; calibrated on later rows; thresholds by what errors cost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from models.artifact import Content, ReferenceHistogram, TypicalRange
from models.column_counters import Mask, Real, Whole
from models.errors import ModelError
from models.from_sklearn import forest_of, gains_of
from models.trees import calibrated

DAY_MS = 86_400_000
LEAST_FRAUDS = 20
"""With fewer of them in a part nothing can be learned, or told."""
GOLDEN = 24
BINS = 10
MOST_POINTS = 200
RARE = 0.005
"""So much of what is good lies beyond either end of what is called usual."""


@dataclass(frozen=True)
class Rows:
    """Requests in the order of time: their vectors, moments (Unix ms) and amounts (micros).

    `told_ms` is when each was told to be fraud (0: never), `cleared_ms` when that was taken back.
    `is_fraud` is what is known by now, in a simulated world the truth; `scenario` codes name what
    it was, by `scenarios`.
    """

    features: tuple[str, ...]
    vectors: Real
    at_ms: Whole
    amounts: Whole
    told_ms: Whole
    is_fraud: Mask
    scenario: Whole | None = None
    scenarios: tuple[str, ...] = ()
    cleared_ms: Whole | None = None


@dataclass(frozen=True)
class Split:
    """Moments (Unix ms): rows before the first train, those before the second calibrate, those from
    the third on test. What was told before the third is what the model may know."""

    train_ms: int
    calibrate_ms: int
    test_ms: int


@dataclass(frozen=True)
class Costs:
    """What errors cost, in micros: a good request that is stopped, or looked at; fraud costs what
    was asked for, times `fraud_share`."""

    stopped_micros: int = 250_000
    reviewed_micros: int = 20_000
    fraud_share: float = 1.0


@dataclass(frozen=True)
class Settings:
    """How trees are grown."""

    learning_rate: float = 0.05
    leaves: int = 15
    trees: int = 150
    l2: float = 1.0
    least_rows: int = 40
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """A model and what is left to judge it by: of each test row the score, and the baseline's."""

    content: Content
    golden: list[list[float]]
    test: Rows
    raw: Real
    scores: Real
    baseline: Real
    costs: Costs


def split_of(rows: Rows, delay_ms: int = 7 * DAY_MS, skip_ms: int = 0) -> Split:
    """A split by time: of what is left behind a beginning that is skipped and without the delay
    of labels, 60 % train, 15 % calibrate, the rest tests. Raises ModelError."""
    _check(rows)
    first, last = int(rows.at_ms[0]) + skip_ms, int(rows.at_ms[-1]) + 1
    whole = last - first - delay_ms
    if whole < DAY_MS:
        raise ModelError("the rows are of too short a time to be split by it: it takes weeks")
    train, calibrate = first + int(0.6 * whole), first + int(0.75 * whole)
    return Split(train, calibrate, calibrate + delay_ms)


def part(rows: Rows, mask: Mask) -> Rows:
    """Some of the rows."""
    scenario = rows.scenario[mask] if rows.scenario is not None else None
    columns = (rows.at_ms[mask], rows.amounts[mask], rows.told_ms[mask], rows.is_fraud[mask])
    return Rows(rows.features, rows.vectors[mask], *columns, scenario, rows.scenarios)


def train(
    rows: Rows,
    split: Split,
    costs: Costs | None = None,
    settings: Settings | None = None,
    from_ms: int = 0,
) -> Trained:
    """Train on rows from a moment on, calibrate, choose thresholds. Raises ModelError."""
    costs, settings = costs or Costs(), settings or Settings()
    _check(rows)
    known = (rows.told_ms > 0) & (rows.told_ms < split.test_ms)
    if rows.cleared_ms is not None:
        known &= (rows.cleared_ms == 0) | (rows.cleared_ms >= split.test_ms)
    learns = (rows.at_ms >= from_ms) & (rows.at_ms < split.train_ms)
    rows = _with_known(rows, learns)
    proves = (rows.at_ms >= split.train_ms) & (rows.at_ms < split.calibrate_ms)
    for name, mask in (("train", learns), ("calibrate", proves)):
        if known[mask].sum() < LEAST_FRAUDS:
            raise ModelError(f"fewer than {LEAST_FRAUDS} frauds are known among rows to {name} on")
    test = part(rows, rows.at_ms >= split.test_ms)
    if test.is_fraud.sum() < LEAST_FRAUDS:
        raise ModelError(f"fewer than {LEAST_FRAUDS} frauds are known among rows to test on")
    boosted = _boosted(settings).fit(rows.vectors[learns], known[learns])
    plain = _plain().fit(rows.vectors[learns], known[learns])
    odds = boosted.predict_proba(rows.vectors[proves])[:, 1]
    points = calibration_of(odds, known[proves])
    raw = boosted.predict_proba(test.vectors)[:, 1]
    proved = apply(points, odds)
    thresholds = thresholds_of(proved, known[proves], rows.amounts[proves], costs)
    vectors = rows.vectors[learns]
    content = Content(
        rows.features,
        forest_of(boosted),
        points,
        thresholds,
        _honest(rows.features, vectors[~known[learns]], gains_of(boosted, len(rows.features))),
        _spread(rows.features, vectors, proved),
        _told(rows, learns, known, split, settings),
    )
    baseline = plain.predict_proba(test.vectors)[:, 1]
    return Trained(
        content, _golden(vectors, settings.seed), test, raw, apply(points, raw), baseline, costs
    )


def calibration_of(scores: Real, is_fraud: Mask) -> tuple[tuple[float, float], ...]:
    """Points through which scores become probabilities (isotonic; Zadrozny and Elkan, 2002)."""
    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, is_fraud)
    xs, ys = fitted.X_thresholds_, fitted.y_thresholds_
    if len(xs) > MOST_POINTS:
        some = np.unique(np.linspace(0, len(xs) - 1, MOST_POINTS).astype(int))
        xs, ys = xs[some], ys[some]
    points: list[tuple[float, float]] = []
    for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
        if not points or x > points[-1][0]:
            points.append((x, y))
    return tuple(points)


def apply(points: Sequence[tuple[float, float]], scores: Real) -> Real:
    """Scores through the points of a calibration, as the scorer does it."""
    return np.array([calibrated(points, score) for score in scores.tolist()])


def thresholds_of(scores: Real, is_fraud: Mask, amounts: Whole, costs: Costs) -> dict[str, float]:
    """From which score on it is cheaper to block, and to look, than to let pass."""
    found = {}
    for action, cost in (("block", costs.stopped_micros), ("review", costs.reviewed_micros)):
        cuts, losses = losses_of(scores, is_fraud, np.asarray(amounts * costs.fraud_share), cost)
        best = int(np.argmin(losses))
        # Nothing is done that is not cheaper than doing nothing.
        if losses[best] < losses[-1] and cuts[best] > 0:
            found[action] = float(min(1.0, cuts[best]))
    if found.get("review", 0.0) >= found.get("block", 2.0):
        del found["review"]
    return found


def losses_of(
    scores: Real, is_fraud: Mask, amounts: Real, wrong_micros: float
) -> tuple[Real, Real]:
    """Scores from which on requests are stopped (the last: none is), and what each would cost."""
    order = np.argsort(-scores, kind="stable")
    stopped = np.cumsum(np.where(is_fraud[order], 0, wrong_micros))
    let_pass = np.sum(amounts[is_fraud]) - np.cumsum(np.where(is_fraud, amounts, 0)[order])
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    cuts = np.append(scores[order][ends], np.inf)
    return cuts, np.append((stopped + let_pass)[ends], np.sum(amounts[is_fraud]))


def _check(rows: Rows) -> None:
    if not len(rows.at_ms) or np.any(np.diff(rows.at_ms) < 0):
        raise ModelError("there are no rows, or they are not in the order of time")
    if np.any(np.isinf(rows.vectors)):
        column = rows.features[int(np.flatnonzero(np.isinf(rows.vectors).any(axis=0))[0])]
        raise ModelError(f"{column} is infinite in some row: no such number can be learned from")
    if np.any((rows.told_ms > 0) & (rows.told_ms < rows.at_ms)):
        raise ModelError("a label was told before its request was made")


def _with_known(rows: Rows, learns: Mask) -> Rows:
    """Without the features that no row to learn from knows: nothing can be said of them."""
    known = np.logical_not(np.isnan(rows.vectors[learns]).all(axis=0)).tolist()
    names = tuple(name for name, is_known in zip(rows.features, known, strict=True) if is_known)
    return replace(rows, features=names, vectors=np.asarray(rows.vectors[:, known]))


def _boosted(settings: Settings) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        learning_rate=settings.learning_rate,
        max_leaf_nodes=settings.leaves,
        max_iter=settings.trees,
        l2_regularization=settings.l2,
        min_samples_leaf=settings.least_rows,
        early_stopping=False,
        random_state=settings.seed,
    )


def _plain() -> Any:
    return make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(max_iter=1000),
    )


def _golden(vectors: Real, seed: int) -> list[list[float]]:
    """Rows of the training, one with nothing known, one with all of it huge."""
    chance = np.random.default_rng(seed)
    some = vectors[chance.choice(len(vectors), min(GOLDEN, len(vectors)), replace=False)]
    width = vectors.shape[1]
    return [*some.tolist(), [float("nan")] * width, [1e15] * width, [0.0] * width]


def _honest(names: Sequence[str], good: Real, gains: Sequence[float]) -> dict[str, TypicalRange]:
    whole, found = sum(gains) or 1.0, {}
    for place, name in enumerate(names):
        column = good[:, place][~np.isnan(good[:, place])]
        if len(column) and gains[place] > 0:
            low, high = np.quantile(column, [RARE, 1 - RARE]).tolist()
            found[name] = TypicalRange(low, high, gains[place] / whole)
    return found


def _spread(names: Sequence[str], vectors: Real, scores: Real) -> dict[str, ReferenceHistogram]:
    found = {name: spread_of(vectors[:, place]) for place, name in enumerate(names)}
    return found | {"": spread_of(scores)}


def spread_of(column: Real) -> ReferenceHistogram:
    """How values are spread over bins of about as many each, and how many are missing."""
    known = column[~np.isnan(column)]
    quantiles = np.linspace(0, 1, BINS + 1)[1:-1]
    edges = np.unique(np.quantile(known, quantiles)) if len(known) else np.array([])
    counts = np.bincount(np.searchsorted(edges, known), minlength=len(edges) + 1)
    shares = np.append(counts, len(column) - len(known)) / max(1, len(column))
    return ReferenceHistogram(tuple(edges.tolist()), tuple(shares.tolist()))


def _told(
    rows: Rows, learns: Mask, known: Mask, split: Split, settings: Settings
) -> dict[str, str | int | float]:
    """What the model says of its own training."""
    digest = hashlib.sha256(np.ascontiguousarray(rows.vectors[learns]).tobytes())
    digest.update(known[learns].tobytes())
    return {
        "data": digest.hexdigest()[:20],
        "rows": int(learns.sum()),
        "frauds": int(known[learns].sum()),
        "from": _day(int(rows.at_ms[learns][0])),
        "to": _day(split.train_ms),
        "labels_by": _day(split.test_ms),
        "learning_rate": settings.learning_rate,
        "leaves": settings.leaves,
        "trees": settings.trees,
    }


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d")
