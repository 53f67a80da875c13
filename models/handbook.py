"""Independent benchmark: the table of the Fraud Detection Handbook, chapter 3.

`python -m models.handbook FILE` prints the published rows beside the rows computed here from the
same transactions, with the counters of `models.column_counters` and the boosting of `models.train`.
The data belong to the handbook (Le Borgne, Siblini, Lebichot, Bontempi); they are read, never
stored.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from models.column_counters import Grouped, Mask, Real, Whole, trailing
from models.errors import ModelError

DAY_MS = 86_400_000
FIRST = date(2018, 6, 17)
"""First day of the table, a Sunday."""
TRAIN, TEST = (date(2018, 7, 25) - FIRST).days, (date(2018, 8, 8) - FIRST).days
DAYS, DELAY = 7, 7
TOP = 100
WINDOWS = (1, 7, 30)
PUBLISHED = {
    "logistic regression": (0.871, 0.606, 0.291),
    "random forest (100)": (0.867, 0.658, 0.287),
    "XGBoost defaults": (0.862, 0.639, 0.273),
}
"""Published AUC ROC, average precision and card precision@100, by model."""
NEVER_D = 40
"""Days since the first fraud at a terminal, for terminals without a known fraud."""


@dataclass(frozen=True)
class Transactions:
    """Transactions in the order of time: time (ms since the first day), customer, terminal, amount.

    Amounts are in cents without fractions, so that sums are exact. A running sum of fractions would
    depend, in its last bits, on what other customers paid.
    """

    at_ms: Whole
    customers: Whole
    terminals: Whole
    cents: Real
    frauds: Whole

    @property
    def amounts(self) -> Real:
        """Amounts in the handbook's unit: 100 cents."""
        return self.cents / 100

    @property
    def days(self) -> Whole:
        """Days since the first day."""
        return self.at_ms // DAY_MS


def read(file: Path) -> Transactions:
    """Read the transactions from a gzipped CSV file. Raises ModelError."""
    try:
        with gzip.open(file, "rt") as lines:
            next(lines)
            columns = list(zip(*(line.split(",") for line in lines), strict=True))
        start = datetime.combine(FIRST, datetime.min.time())
        at = [datetime.fromisoformat(told) - start for told in columns[1]]
        whole = [np.array(columns[place], np.int64) for place in (2, 3, 5)]
        at_ms = np.array([1000 * int(since.total_seconds()) for since in at], np.int64)
        cents = np.round(100 * np.array(columns[4], float))
    except (OSError, ValueError, IndexError, StopIteration) as error:
        raise ModelError(f"{file} is not the handbook's table: {error}") from None
    return Transactions(at_ms, whole[0], whole[1], cents, whole[2])


def published_features(of: Transactions) -> dict[str, Real]:
    """Compute the handbook's fifteen features over windows (t - w, t].

    Windows of terminals are shifted into the past by the delay of labels.
    """
    customers, terminals = Grouped.of(of.customers), Grouped.of(of.terminals)
    found: dict[str, Real] = {
        "amount": of.amounts,
        "weekend": ((of.days + 6) % 7 >= 5).astype(float),
        "night": (of.at_ms % DAY_MS // 3_600_000 <= 6).astype(float),
    }
    for days in WINDOWS:
        count, spent = trailing(customers, of.at_ms, of.cents, days * DAY_MS)
        found |= {f"customer_count_{days}d": count, f"customer_mean_{days}d": spent / 100 / count}
    for days in WINDOWS:
        frauds = of.frauds.astype(float)
        delayed = (days * DAY_MS, DELAY * DAY_MS)
        count, bad = trailing(terminals, of.at_ms, frauds, *delayed)
        risk = np.where(count > 0, bad / np.maximum(count, 1), 0.0)
        found |= {f"terminal_count_{days}d": count, f"terminal_risk_{days}d": risk}
    return found


def features(of: Transactions) -> dict[str, Real]:
    """Compute our features: the handbook's, three of them on grids, and three more.

    Each uses only what was known at its time. A histogram has 255 bins: on a grid of fewer values
    each value has its own bin, so that the tail of amounts, where the frauds are, is not one bin.
    """
    found, customers = published_features(of), Grouped.of(of.customers)
    found["amount"] = np.minimum(np.floor(of.amounts / 5), 200)
    for days in (7, 30):
        found[f"terminal_risk_{days}d"] = np.round(found[f"terminal_risk_{days}d"], 2)
    # Ratio to the mean of all earlier amounts. One of 50.00 is added: the first ones then have a
    # mean, and the next ones a steady one.
    ever = int(of.at_ms.max()) + 1
    count, spent = trailing(customers, of.at_ms, of.cents, ever)
    ratio = of.cents / ((spent - of.cents + 5_000.0) / count)
    found["ratio"] = np.clip(np.round(ratio, 1), 0, 15)
    is_high = (ratio > 3).astype(float)
    found["high_7d"] = trailing(customers, of.at_ms, is_high, 7 * DAY_MS)[1] - is_high
    found["first_fraud_age_d"] = _first_fraud_age(of)
    return found


def _first_fraud_age(of: Transactions) -> Real:
    """Compute the days since the first fraud at the terminal in (t - 35 d, t - 7 d]."""
    by = Grouped.of(of.terminals)
    times, places = of.at_ms[by.order], np.arange(len(of.at_ms))
    line = by.codes * (2 * int(times.max())) + times
    last = np.searchsorted(line, line - DELAY * DAY_MS, side="right")
    first = np.maximum(np.searchsorted(line, line - 35 * DAY_MS, side="right"), by.starts)
    is_fraud = of.frauds[by.order] == 1
    following = np.minimum.accumulate(np.where(is_fraud, places, len(places))[::-1])[::-1]
    fraud = np.append(following, len(places))[first]
    age = (times - times[np.minimum(fraud, len(places) - 1)]) // DAY_MS
    return by.back(np.where(fraud < last, age, NEVER_D).astype(float))


def split(of: Transactions, train: int, test: int) -> tuple[Whole, Whole]:
    """Return the rows to train on and those to test on, each of DAYS days from the given day.

    Customers known by then to be defrauded are left out of the test.
    """
    days, is_fraud = of.days, of.frauds == 1
    trains = np.flatnonzero((days >= train) & (days < train + DAYS))
    known = set(of.customers[trains][is_fraud[trains]].tolist())
    tests = []
    for day in range(test, test + DAYS):
        known |= set(of.customers[(days == day - DELAY - 1) & is_fraud].tolist())
        rows = np.flatnonzero(days == day)
        tests.append(rows[~np.isin(of.customers[rows], list(known))])
    return trains, np.concatenate(tests)


def card_precision(of: Transactions, rows: Whole, scores: Real) -> float:
    """Return the share of compromised among the 100 customers scored highest, mean over days."""
    caught: set[int] = set()
    found = []
    for day in np.unique(of.days[rows]):
        mine = np.flatnonzero((of.days[rows] == day) & ~np.isin(of.customers[rows], list(caught)))
        names, place = np.unique(of.customers[rows[mine]], return_inverse=True)
        best, bad = np.full(len(names), -np.inf), np.zeros(len(names))
        np.maximum.at(best, place, scores[mine])
        np.maximum.at(bad, place, of.frauds[rows[mine]])
        top = np.argsort(-best, kind="stable")[:TOP]
        found.append(bad[top].sum() / TOP)
        caught |= set(names[top][bad[top] > 0].tolist())
    return float(np.mean(found))


def measured(
    of: Transactions, columns: Mapping[str, Real], model: Any, span: tuple[int, int]
) -> tuple[float, float, float]:
    """Fit a model and return its AUC ROC, average precision and card precision@100.

    `span` has the first day to train on and the first day to test on.
    """
    trains, tests = split(of, *span)
    table = np.column_stack(list(columns.values()))
    fitted = model.fit(table[trains], of.frauds[trains])
    scores = fitted.predict_proba(table[tests])[:, 1]
    truth: Mask = of.frauds[tests] == 1
    precision = float(average_precision_score(truth, scores))
    return float(roc_auc_score(truth, scores)), precision, card_precision(of, tests, scores)


def boosted(names: Sequence[str] = ()) -> HistGradientBoostingClassifier:
    """Return the boosting of `models.train`; a larger amount never lowers the score."""
    rising = [int(name in ("amount", "ratio")) for name in names] or None
    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_leaf_nodes=8,
        max_iter=150,
        l2_regularization=1,
        random_state=0,
        early_stopping=False,
        monotonic_cst=rising,
    )


def rows(of: Transactions) -> dict[str, tuple[float, float, float]]:
    """Measure the handbook's models and ours on the handbook's weeks."""
    plain, ours, span = published_features(of), features(of), (TRAIN, TEST)
    linear = make_pipeline(StandardScaler(), LogisticRegression(random_state=0))
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(100, random_state=0))
    return {
        "logistic regression": measured(of, plain, linear, span),
        "random forest (100)": measured(of, plain, forest, span),
        "boosting, the same features": measured(of, plain, boosted(), span),
        "ours": measured(of, ours, boosted(list(ours)), span),
    }


def main() -> None:
    """Print the published and the computed rows side by side."""
    found = rows(read(Path(sys.argv[1])))
    head = f"{'':<30}{'published':<24}made here"
    lines = [head, f"{'':<30}{'AUC    AP     CP@100':<24}AUC    AP     CP@100"]
    for name in dict.fromkeys((*PUBLISHED, *found)):
        pair = [
            "  ".join(f"{value:.3f}" for value in of[name]) if name in of else ""
            for of in (PUBLISHED, found)
        ]
        lines.append(f"{name:<30}{pair[0]:<24}{pair[1]}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
