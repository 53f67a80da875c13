"""Evaluate a model on rows later than its training: figures, plots, a card and a page."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from models.column_counters import Mask, Real
from models.features import BY_NAME
from models.train import Trained, losses_of

mpl.use("Agg")
import matplotlib.pyplot as plt

BINS = 12
MICROS = 1_000_000


@dataclass(frozen=True)
class Figures:
    """Measures of a model and of the baseline by name, and the model's recall by scenario.

    `stopped_good` is the share of good requests that the threshold to block stops; `saved_micros`
    is the fraud that it stops, of `fraud_micros` in all.
    """

    model: Mapping[str, float]
    baseline: Mapping[str, float]
    recall: Mapping[str, tuple[float, int]]
    """By scenario: the share that the threshold to block stops, and the number of requests."""
    stopped_good: float
    saved_micros: float
    fraud_micros: float


def figures(trained: Trained) -> Figures:
    """Measure a model on its test rows."""
    test, truth = trained.test, trained.test.is_fraud
    cut = trained.content.thresholds.get("block", np.inf)
    stops = trained.scores >= cut
    recall: dict[str, tuple[float, int]] = {}
    if test.scenario is not None:
        for code, name in enumerate(test.scenarios):
            of = test.scenario == code
            if truth[of].any():
                recall[name] = (float(stops[of & truth].mean()), int((of & truth).sum()))
    amounts = test.amounts.astype(float)
    return Figures(
        _measured(truth, trained.raw, trained.scores),
        _measured(truth, trained.baseline, trained.baseline),
        recall,
        float(stops[~truth].mean()),
        float(amounts[truth & stops].sum()),
        float(amounts[truth].sum()),
    )


def _measured(truth: Mask, raw: Real, scores: Real) -> dict[str, float]:
    return {
        "AUC": float(roc_auc_score(truth, raw)),
        "average precision": float(average_precision_score(truth, raw)),
        "Brier": float(brier_score_loss(truth, np.clip(scores, 0, 1))),
    }


def write(trained: Trained, directory: Path, title: str) -> Figures:
    """Write `card.md`, `report.html` and plots (PNG) of a model; return its figures."""
    directory.mkdir(parents=True, exist_ok=True)
    found = figures(trained)
    plots = {
        "roc.png": _roc,
        "precision_recall.png": _precision_recall,
        "calibration.png": _calibration,
        "cost.png": _cost,
        "scenarios.png": _scenarios,
        "features.png": _features,
    }
    for name, draw in plots.items():
        figure, axes = plt.subplots(figsize=(6, 4.2), layout="constrained")
        draw(axes, trained, found)
        figure.savefig(directory / name, dpi=110)
        plt.close(figure)
    card = card_of(trained, found, title)
    (directory / "card.md").write_text(card, "utf-8")
    (directory / "report.html").write_text(_page(card, directory, list(plots), title), "utf-8")
    return found


def _roc(axes: Any, trained: Trained, found: Figures) -> None:
    truth = trained.test.is_fraud
    for scores, name, of in _both(trained, found):
        xs, ys, _ = roc_curve(truth, scores)
        axes.plot(xs, ys, label=f"{name}, AUC {of['AUC']:.3f}")
    axes.plot([0, 1], [0, 1], ":", color="grey")
    _named(axes, "good requests stopped", "fraud stopped")


def _precision_recall(axes: Any, trained: Trained, found: Figures) -> None:
    truth = trained.test.is_fraud
    for scores, name, of in _both(trained, found):
        precisions, recalls, _ = precision_recall_curve(truth, scores)
        axes.plot(recalls, precisions, label=f"{name}, AP {of['average precision']:.3f}")
    _named(axes, "fraud stopped (recall)", "of what is stopped, fraud (precision)")


def _calibration(axes: Any, trained: Trained, found: Figures) -> None:
    scores, truth = trained.scores, trained.test.is_fraud
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, BINS + 1)))
    place = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, max(0, len(edges) - 2))
    means = [(scores[place == b].mean(), truth[place == b].mean()) for b in np.unique(place)]
    axes.plot([0, 1], [0, 1], ":", color="grey")
    axes.plot(*zip(*means, strict=True), "o-", label=f"Brier {found.model['Brier']:.4f}")
    _named(axes, "score", "share that was fraud")


def _cost(axes: Any, trained: Trained, found: Figures) -> None:
    amounts = np.asarray(trained.test.amounts * trained.costs.fraud_share)
    wrong = trained.costs.stopped_micros
    cuts, losses = losses_of(trained.scores, trained.test.is_fraud, amounts, wrong)
    shown = np.isfinite(cuts)
    axes.plot(cuts[shown], losses[shown] / MICROS, label="cost of errors")
    axes.axhline(losses[-1] / MICROS, ls=":", color="grey", label="without a model")
    for action, cut in trained.content.thresholds.items():
        axes.axvline(cut, color="tab:red", lw=1, label=f"{action} from {cut:.3f}")
    _named(axes, "threshold", "USD in the test rows")


def _scenarios(axes: Any, trained: Trained, found: Figures) -> None:
    names = list(found.recall)
    axes.barh(names, [found.recall[name][0] for name in names])
    axes.set_xlim(0, 1)
    axes.set_xlabel("share that the threshold to block stops")


def _features(axes: Any, trained: Trained, found: Figures) -> None:
    honest = trained.content.honest
    names = sorted(honest, key=lambda name: honest[name].weight)[-15:]
    axes.barh(names, [honest[name].weight for name in names])
    axes.set_xlabel("part of the gain")


def _both(trained: Trained, found: Figures) -> list[tuple[Real, str, Mapping[str, float]]]:
    return [
        (trained.raw, "boosted trees", found.model),
        (trained.baseline, "logistic regression", found.baseline),
    ]


def _named(axes: Any, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(loc="best")


def card_of(trained: Trained, found: Figures, title: str) -> str:
    """Return a model card in Markdown: purpose, training, measures, thresholds, limits.

    Source: Mitchell and others, 2019.
    """
    told, test = trained.content.trained, trained.test
    lines = [
        f"# {title}",
        "",
        f"Boosted trees ({len(trained.content.forest.trees)}) over {len(test.features)} features,"
        " isotonic calibration. It tells how likely a request is abuse; it decides nothing by"
        " itself but by the thresholds below.",
        "",
        "## Made of",
        "",
        *(f"- {name}: {value}" for name, value in told.items()),
        "",
        "## On later rows",
        "",
        f"{len(test.at_ms):,} requests, {int(test.is_fraud.sum()):,} of them fraud.",
        "",
        "| | boosted trees | logistic regression |",
        "|---|---|---|",
        *(
            f"| {name} | {found.model[name]:.4f} | {found.baseline[name]:.4f} |"
            for name in found.model
        ),
        "",
        f"From the threshold to block on it stops {found.stopped_good:.3%} of good requests and"
        f" {found.saved_micros / MICROS:,.2f} of {found.fraud_micros / MICROS:,.2f} USD of fraud.",
        "",
        "| scenario | stopped | requests |",
        "|---|---|---|",
        *(f"| {name} | {share:.1%} | {count:,} |" for name, (share, count) in found.recall.items()),
        "",
        "## Thresholds",
        "",
        *(f"- {action}: {cut:.4f}" for action, cut in trained.content.thresholds.items()),
        "",
        "## Not for",
        "",
        "Anything but requests whose features are counted as these were. What was never seen in"
        " training (a new kind of abuse, or of customer) it does not know; drift of features and of"
        " the score is watched, and rules stand beside it.",
        "",
    ]
    return "\n".join(lines)


def _page(card: str, directory: Path, plots: list[str], title: str) -> str:
    def image(name: str) -> str:
        data = base64.b64encode((directory / name).read_bytes()).decode()
        return f'<img alt="{name}" src="data:image/png;base64,{data}">'

    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{spec.type}</td><td>{html.escape(str(spec.source))}"
        "</td></tr>"
        for name, spec in BY_NAME.items()
    )
    return (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title>"
        "<style>body{font:15px system-ui;max-width:70em;margin:2em auto}pre{white-space:pre-wrap}"
        "td{padding:.1em .8em .1em 0;vertical-align:top}</style>"
        f"<pre>{html.escape(card)}</pre>{''.join(map(image, plots))}"
        f"<h2>Features</h2><table>{rows}</table>"
    )
