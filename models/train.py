"""Train a model from vectors and labels, with a plain baseline beside it.

Rows are split by time. A label counts only if it was reported before the model is made, so late
labels leak nothing. Histogram boosting uses a low rate and few leaves, since a high rate was
measured to fail on data with so few frauds. Later rows calibrate the scores, and the thresholds
minimize the cost of errors.
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
"""Least number of frauds in each part: with fewer, nothing can be learned or measured."""
GOLDEN = 24
BINS = 10
MOST_POINTS = 200
RARE = 0.005
"""Share of good traffic cut off at each end of a feature to get its typical range."""


@dataclass(frozen=True)
class Rows:
    """Requests in the order of time: vectors, times (Unix ms) and amounts (micros).

    `told_ms` is when each was reported as fraud (0: never), `cleared_ms` when that was revoked (0:
    never). `is_fraud` is what is known by now; in a simulated world it is the truth. `scenario`
    has codes that index `scenarios`.
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
    """Split by time (Unix ms): rows before `train_ms` train, those before `calibrate_ms` calibrate.

    Rows from `test_ms` on test. Only labels reported before `test_ms` may be learned from.
    """

    train_ms: int
    calibrate_ms: int
    test_ms: int


@dataclass(frozen=True)
class Costs:
    """Cost of errors in micros: of a good request that is stopped, and of a review.

    Fraud that passes costs its amount times `fraud_share`.
    """

    stopped_micros: int = 250_000
    reviewed_micros: int = 20_000
    fraud_share: float = 1.0


@dataclass(frozen=True)
class Settings:
    """Hyperparameters of the boosting."""

    learning_rate: float = 0.05
    leaves: int = 15
    trees: int = 150
    l2: float = 1.0
    least_rows: int = 40
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """A model with its test: the test rows, and raw, calibrated and baseline scores of each."""

    content: Content
    golden: list[list[float]]
    test: Rows
    raw: Real
    scores: Real
    baseline: Real
    costs: Costs


def split_of(rows: Rows, delay_ms: int = 7 * DAY_MS, skip_ms: int = 0) -> Split:
    """Split rows by time: 60 % train, 15 % calibrate, the rest test. Raises ModelError.

    The shares are of the time after the skipped beginning (`skip_ms`), less the delay of labels
    (`delay_ms`). The delay lies between calibration and test.
    """
    _check(rows)
    first, last = int(rows.at_ms[0]) + skip_ms, int(rows.at_ms[-1]) + 1
    whole = last - first - delay_ms
    if whole < DAY_MS:
        raise ModelError("the rows are of too short a time to be split by it: it takes weeks")
    train, calibrate = first + int(0.6 * whole), first + int(0.75 * whole)
    return Split(train, calibrate, calibrate + delay_ms)


def part(rows: Rows, mask: Mask) -> Rows:
    """Select rows by a mask."""
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
    """Train on rows from `from_ms` on (Unix ms), calibrate, choose thresholds.

    Raises ModelError if rows are unordered, infinite, or have too few frauds in a part.
    """
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
        _training_facts(rows, learns, known, split, settings),
    )
    baseline = plain.predict_proba(test.vectors)[:, 1]
    return Trained(
        content, _golden(vectors, settings.seed), test, raw, apply(points, raw), baseline, costs
    )


def calibration_of(scores: Real, is_fraud: Mask) -> tuple[tuple[float, float], ...]:
    """Fit points that map scores to probabilities (isotonic; Zadrozny and Elkan, 2002)."""
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
    """Map scores through the points of a calibration, as the scorer does."""
    return np.array([calibrated(points, score) for score in scores.tolist()])


def thresholds_of(scores: Real, is_fraud: Mask, amounts: Whole, costs: Costs) -> dict[str, float]:
    """Return the scores from which blocking, and reviewing, is cheaper than letting pass."""
    found = {}
    for action, cost in (("block", costs.stopped_micros), ("review", costs.reviewed_micros)):
        cuts, losses = losses_of(scores, is_fraud, np.asarray(amounts * costs.fraud_share), cost)
        best = int(np.argmin(losses))
        # An action that saves nothing gets no threshold.
        if losses[best] < losses[-1] and cuts[best] > 0:
            found[action] = float(min(1.0, cuts[best]))
    if found.get("review", 0.0) >= found.get("block", 2.0):
        del found["review"]
    return found


def losses_of(
    scores: Real, is_fraud: Mask, amounts: Real, wrong_micros: float
) -> tuple[Real, Real]:
    """Return possible thresholds (the last stops nothing) and the cost of errors at each."""
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
    """Drop the features that are missing in all rows to learn from."""
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
    """Draw golden vectors: training rows, and one each of all missing, all huge and all 0."""
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
    """Return the histogram of a column, in bins of about equal counts, with the share missing."""
    known = column[~np.isnan(column)]
    quantiles = np.linspace(0, 1, BINS + 1)[1:-1]
    edges = np.unique(np.quantile(known, quantiles)) if len(known) else np.array([])
    counts = np.bincount(np.searchsorted(edges, known), minlength=len(edges) + 1)
    shares = np.append(counts, len(column) - len(known)) / max(1, len(column))
    return ReferenceHistogram(tuple(edges.tolist()), tuple(shares.tolist()))


def _training_facts(
    rows: Rows, learns: Mask, known: Mask, split: Split, settings: Settings
) -> dict[str, str | int | float]:
    """Describe the training for people: data digest, counts, dates (UTC), hyperparameters."""
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
