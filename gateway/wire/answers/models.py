"""Answers about models."""

from __future__ import annotations

from typing import Any

from gateway.wire.answers.base import Answer


class ModelAnswer(Answer):
    """A model: `mode` is draft, shadow, active or retired; `trained` describes its training data.

    `thresholds` are its own, or those it was activated with. `text` is present when a single model
    is requested.
    """

    id: str
    mode: str
    author: str
    created_at: str
    features: list[str]
    trees: int
    thresholds: dict[str, float]
    trained: dict[str, Any]
    text: str | None = None


class ModelsAnswer(Answer):
    """All models, the newest first, under two names."""

    models: list[ModelAnswer]
    data: list[ModelAnswer]
    next_cursor: str | None = None


class Reached(Answer):
    """Requests that a threshold reaches, what they ask for, and what labels say of them."""

    requests: int
    amount_micros: int
    fraud: int
    good: int


class ComparedModel(Answer):
    """Results of one model on the compared requests.

    `score_bins` counts scores by tenths. `average_precision` holds what has no fraud label for
    good; null without one. `drift` are stability indices against the training, of features and of
    the `score_drift`: 0.25 is another population; of fewer than 500 requests there are none.
    """

    model: str
    mean_score: float
    score_bins: list[int]
    thresholds: dict[str, float]
    reached: dict[str, Reached]
    average_precision: float | None
    score_drift: float | None
    drift: dict[str, float]


class ComparisonAnswer(Answer):
    """A model compared with the champion, on the same logged requests and labels.

    `is_cut`: some recomputed counters do not reach back to their beginning.
    """

    requests: int
    fraud: int
    good: int
    is_cut: bool
    models: list[ComparedModel]


class ChampionAnswer(Answer):
    """The model that scores now (null: none), and those in shadow."""

    champion: str | None
    thresholds: dict[str, float]
    challengers: list[str]
