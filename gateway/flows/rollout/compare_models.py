"""Compare champion and challenger on the same logged requests.

Nothing is scored twice while a request waits: a challenger's features are counted, and this is
where its scores come from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.catalog.policy_log import Cuts
from gateway.errors import CallerError
from gateway.flows.analysis.training_set import Sources, TrainingRows, Wanted, training_rows
from gateway.flows.risk.scoring import thresholds_of
from gateway.flows.rollout.services import RolloutServices
from gateway.flows.rollout.stored_models import CHANGE, find, served_or_refused
from gateway.flows.shared.caller import Caller
from models.artifact import ACTIONS
from models.drift import SCORE, average_precision, drift_of
from models.serving import Served

MOST_ROWS, MOST_BACK = 20_000, 200_000
"""Most requests that are compared; most records before them to recompute counters from."""
BINS = 10
COLLECTED = 500
"""Requests from which on shares of them mean something."""


@dataclass(frozen=True)
class Compared:
    """Results of one model on the compared requests.

    `bins` counts scores by tenths; `reached` are for each action requests that its threshold
    reaches, their micros, and by their labels frauds and good ones; `drift` are indices of features
    and of the score ("").
    """

    model: str
    thresholds: Mapping[str, float]
    mean_score: float
    bins: list[int]
    reached: Mapping[str, tuple[int, int, int, int]]
    average_precision: float | None
    drift: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """Requests compared, their labels, and each model's result.

    `is_cut`: some recomputed counters do not reach back to their beginning.
    """

    requests: int
    fraud: int
    good: int
    models: list[Compared]
    is_cut: bool


async def compare(
    services: RolloutServices, model: str, span_ms: tuple[int, int], caller: Caller
) -> Comparison:
    """A model beside the champion on the newest requests of a span. Raises 404 or 409."""
    caller.check_unbound(CHANGE)
    await find(services, model)
    tried = [await served_or_refused(services, model)]
    champion = services.rules.policies.champion
    if champion is not None and champion.id != model:
        tried.append(champion)
    names = tuple(dict.fromkeys(name for one in tried for name in one.features))
    if services.comparing.locked():
        detail = "this worker is making a report already; try again in a while"
        raise CallerError("too_many_reports", detail)
    async with services.comparing:
        rows = await _rows(services, names, span_ms)
        if not rows.decisions:
            raise CallerError("not_found", "nothing was decided in that time")
        scoring = services.rules.policies.scoring
        cuts = {scoring.model: scoring.cuts} if scoring is not None else {}
        return await _on(services, tried, rows, cuts)


async def look(
    services: RolloutServices,
    served: Served,
    thresholds: Mapping[str, float],
    span_ms: tuple[int, int],
) -> Comparison | None:
    """Apply one model and thresholds to a span; None where the span has no decision."""
    rows = await _rows(services, tuple(served.features), span_ms)
    if not rows.decisions:
        return None
    block, challenge, review = (thresholds.get(action, 0.0) for action in ACTIONS)
    return await _on(services, [served], rows, {served.id: (block, challenge, review)})


async def _rows(
    services: RolloutServices, names: tuple[str, ...], span_ms: tuple[int, int]
) -> TrainingRows:
    sources = Sources(
        services.history, services.labels, services.rulesets, services.lists, services.secret
    )
    wanted = Wanted(names, *span_ms, most=MOST_ROWS, most_back=MOST_BACK)
    return await training_rows(sources, wanted)


async def _on(
    services: RolloutServices, tried: Sequence[Served], rows: TrainingRows, cuts: Mapping[str, Cuts]
) -> Comparison:
    labels = await services.labels.of(rows.decisions)
    told = [labels.get(decision, "") for decision in rows.decisions]
    found = [await asyncio.to_thread(_compared, one, rows, told, cuts) for one in tried]
    counts = (len(told), told.count("fraud"), told.count("good"))
    return Comparison(*counts, found, rows.is_cut)


def _compared(
    served: Served, rows: TrainingRows, labels: Sequence[str], cuts: Mapping[str, Cuts]
) -> Compared:
    places = [rows.features.index(name) for name in served.features]
    vectors = [[vector[place] for place in places] for vector in rows.vectors]
    scores = [served.scorer.score(vector) for vector in vectors]
    thresholds = dict(served.thresholds)
    if served.id in cuts:
        thresholds = thresholds_of(cuts[served.id])
    bins = [0] * BINS
    for score in scores:
        bins[min(BINS - 1, int(score * BINS))] += 1
    columns = dict(zip(served.features, zip(*vectors, strict=True), strict=True))
    return Compared(
        served.id,
        thresholds,
        sum(scores) / len(scores),
        bins,
        {a: _reached(scores, cut, rows.amounts, labels) for a, cut in thresholds.items()},
        average_precision(scores, [label == "fraud" for label in labels]),
        drift_of(served.spread, {**columns, SCORE: scores}),
    )


def _reached(
    scores: Sequence[float], cut: float, amounts: Sequence[int], labels: Sequence[str]
) -> tuple[int, int, int, int]:
    hit = [n for n, score in enumerate(scores) if score >= cut]
    found = [labels[n] for n in hit]
    return len(hit), sum(amounts[n] for n in hit), found.count("fraud"), found.count("good")
