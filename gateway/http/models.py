"""Handlers of models."""

from __future__ import annotations

import json

from gateway.catalog.models import StoredModel
from gateway.catalog.policy_log import WARM, WARMING, Change, PoliciesInForce, in_force
from gateway.core.windows import DAY_MS
from gateway.flows.risk.scoring import thresholds_of
from gateway.flows.rollout import compare_models, models
from gateway.flows.rollout.stored_models import CHANGE, find
from gateway.http.endpoint import Answered, Call
from gateway.http.query import time_in
from gateway.http.services import Services
from gateway.wire.answers.base import rfc3339
from gateway.wire.answers.models import (
    ChampionAnswer,
    ComparedModel,
    ComparisonAnswer,
    ModelAnswer,
    ModelsAnswer,
    Reached,
)
from gateway.wire.requests.risk import ActivateModelBody, ModelBody
from gateway.wire.requests.spend import EmptyBody
from models.drift import SCORE


async def post_model(services: Services, call: Call[ModelBody]) -> Answered[ModelAnswer]:
    """POST /v1/models."""
    made = await models.submit(services, call.body, call.caller)
    return Answered(_answer(made, await services.rulesets.changes()))


async def get_models(services: Services, call: Call[None]) -> Answered[ModelsAnswer]:
    """GET /v1/models."""
    call.caller.check_unbound(CHANGE)
    changes = await services.rulesets.changes()
    listed = [_answer(made, changes) for made in await services.models.listed()]
    return Answered(ModelsAnswer(models=listed, data=listed))


async def get_model(services: Services, call: Call[None]) -> Answered[ModelAnswer]:
    """GET /v1/models/{id}."""
    call.caller.check_unbound(CHANGE)
    stored = await find(services, call.ids["id"])
    answer = _answer(stored, await services.rulesets.changes())
    answer.text = stored.text
    return Answered(answer)


async def activate(services: Services, call: Call[ActivateModelBody]) -> Answered[ChampionAnswer]:
    """POST /v1/models/{id}/activate."""
    now, is_replay = await models.activate(services, call.ids["id"], call.body, call.caller)
    return Answered(_champion(now), is_replay)


async def rollback(services: Services, call: Call[EmptyBody]) -> Answered[ChampionAnswer]:
    """POST /v1/models/rollback."""
    return Answered(_champion(await models.rollback(services, call.caller)))


async def report(services: Services, call: Call[None]) -> Answered[ComparisonAnswer]:
    """GET /v1/models/{id}/report."""
    now_ms, query = services.clock.now_ms(), call.query
    span_ms = (
        time_in(query.get("from"), "from", now_ms - DAY_MS),
        time_in(query.get("to"), "to", now_ms + DAY_MS),
    )
    found = await compare_models.compare(services, call.ids["id"], span_ms, call.caller)
    told = [_compared(one) for one in found.models]
    return Answered(
        ComparisonAnswer(
            requests=found.requests,
            fraud=found.fraud,
            good=found.good,
            is_cut=found.is_cut,
            models=told,
        )
    )


def _compared(one: compare_models.Compared) -> ComparedModel:
    drift = dict(one.drift)
    reached = {
        action: Reached(requests=n, amount_micros=micros, fraud=fraud, good=good)
        for action, (n, micros, fraud, good) in one.reached.items()
    }
    return ComparedModel(
        model=one.model,
        mean_score=one.mean_score,
        score_bins=one.bins,
        thresholds=dict(one.thresholds),
        reached=reached,
        average_precision=one.average_precision,
        score_drift=drift.pop(SCORE, None),
        drift=drift,
    )


def _champion(now: PoliciesInForce) -> ChampionAnswer:
    return ChampionAnswer(
        champion=now.champion or None,
        thresholds=thresholds_of(now.cuts),
        challengers=list(now.challengers),
    )


def _answer(stored: StoredModel, changes: list[Change]) -> ModelAnswer:
    told, now, mode = json.loads(stored.head), in_force(changes), "draft"
    own = told["thresholds"]
    if stored.id == now.champion:
        mode, own = "active", thresholds_of(now.cuts)
    elif stored.id in now.challengers:
        mode = "shadow"
    elif any(c.ruleset == stored.id and c.mode not in (WARMING, WARM) for c in changes):
        mode = "retired"
    return ModelAnswer(
        id=stored.id,
        mode=mode,
        author=stored.author,
        created_at=rfc3339(stored.created_ms),
        features=told["features"],
        trees=told["trees"],
        thresholds=own,
        trained=told["trained"],
    )
