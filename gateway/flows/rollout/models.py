"""Submit, shadow, activate and roll back models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from gateway.catalog.models import StoredModel
from gateway.catalog.policy_log import (
    EVERYBODY,
    NO_CUTS,
    ROLLED_BACK,
    Change,
    Cuts,
    PoliciesInForce,
    in_force,
    last_champion,
)
from gateway.errors import Bug, CallerError, Unavailable
from gateway.flows.risk.compile_process import model_elsewhere
from gateway.flows.rollout.lifecycle import (
    ATTEMPTS,
    backfill,
    change,
    made_before,
    once_of,
)
from gateway.flows.rollout.model_guard import check_blast
from gateway.flows.rollout.services import RolloutServices
from gateway.flows.rollout.stored_models import CHANGE, find, reads_of, served_or_refused
from gateway.flows.shared.bounds import too_many
from gateway.flows.shared.caller import Caller
from gateway.wire.requests.risk import ActivateModelBody, ModelBody
from gateway.wire.requests.spend import EmptyBody
from models.artifact import ACTIONS
from models.errors import ModelError
from models.serving import Served

MOST_CHALLENGERS = 4


async def submit(services: RolloutServices, body: ModelBody, caller: Caller) -> StoredModel:
    """Take in a model as a draft, once it has proved itself. Raises CallerError."""
    caller.check_unbound(CHANGE)
    try:
        served = await asyncio.to_thread(model_elsewhere, body.text)
    except ModelError as error:
        raise CallerError("invalid_model", str(error), pointer="/text") from None
    except (Bug, OSError) as error:
        raise Unavailable("not_compiled", f"the model could not be read: {error}") from error
    if await services.models.count() >= services.settings.most_rulesets:
        raise too_many("models", services.settings.most_rulesets)
    now_ms = services.clock.now_ms()
    made = StoredModel(served.id, body.text, served.head, caller.credential.id, now_ms)
    if not await services.models.add(made):
        return await find(services, served.id)
    return made


async def activate(
    services: RolloutServices, model: str, body: ActivateModelBody, caller: Caller
) -> tuple[PoliciesInForce, bool]:
    """Set a model to shadow, active or retired. Returns whether this is a retry.

    Its counters are filled before it scores. Raises CallerError or Unavailable.
    """
    caller.check_unbound(CHANGE)
    key = once_of(caller, body)
    before = made_before(await services.rulesets.changes(), key)
    if before is not None:
        return before, True
    await find(services, model)
    if body.thresholds is not None and body.mode != "active":
        detail = "only an active model's score brings anything about"
        raise CallerError("invalid_request", detail, pointer="/thresholds")
    reads: tuple[str, ...] = ()
    cuts = NO_CUTS
    if body.mode != "retired":
        served = await served_or_refused(services, model)
        reads = reads_of(served)
        if body.mode == "active":
            cuts = _cuts(served, body)
            await check_blast(services, served, cuts, body)
        _check_count(await services.rulesets.changes(), _made(model, body, caller, reads))
        await backfill(services, model, reads, caller)
    made = _made(model, body, caller, reads, key=key, cuts=cuts)
    before = await change(services, made, _check_count)
    if before is not None:
        return before, True
    return in_force(await services.rulesets.changes()), False


def _made(
    model: str,
    body: ActivateModelBody,
    caller: Caller,
    reads: tuple[str, ...],
    key: str = "",
    cuts: Cuts = NO_CUTS,
) -> Change:
    said = (caller.credential.id, body.note or "", 0)
    return Change(0, model, body.mode, EVERYBODY, *said, reads, key, cuts)


def _cuts(served: Served, body: ActivateModelBody) -> Cuts:
    given = body.thresholds
    if given is None:
        block, challenge, review = (served.thresholds.get(action, 0.0) for action in ACTIONS)
    else:
        block, challenge, review = (getattr(given, action) or 0.0 for action in ACTIONS)
    return block, challenge, review


def _check_count(changes: Sequence[Change], made: Change) -> None:
    count = len(in_force([*changes, made]).challengers)
    if count > MOST_CHALLENGERS:
        detail = f"{count - 1} models are in shadow; retire one first"
        raise CallerError("too_many_models", detail)


async def rollback(services: RolloutServices, caller: Caller) -> PoliciesInForce:
    """Let the model score again that did before the last change; none, where none did.

    Called again under its idempotency key it does nothing more. Raises CallerError.
    """
    caller.check_unbound(CHANGE)
    key = once_of(caller, EmptyBody())
    for _ in range(ATTEMPTS):
        changes = await services.rulesets.changes()
        before = made_before(changes, key)
        if before is not None:
            return before
        now_ms, identity = services.clock.now_ms(), services.new_id_body("")
        step = replace(_step_back(changes, caller, key), at_ms=now_ms, rollback=identity)
        if step.mode == "active":
            # One step back all that it reads is counted on; further back it is counted anew.
            await backfill(services, step.ruleset, step.reads, caller)
            changes = await services.rulesets.changes()
            if last_champion(changes) != (step.ruleset, step.cuts):
                continue
        if await services.rulesets.change(changes[-1].n, [step]):
            await services.rules.refresh()
            return in_force(await services.rulesets.changes())
    raise Unavailable("too_many_changes", "others are changing the models; try again")


def _step_back(changes: Sequence[Change], caller: Caller, key: str) -> Change:
    model, cuts = last_champion(changes)
    now = in_force(changes)
    said = (caller.credential.id, ROLLED_BACK, 0)
    if model:
        reads = {c.ruleset: c.reads for c in changes if c.mode != "retired"}
        return Change(0, model, "active", EVERYBODY, *said, reads[model], key, cuts)
    if not now.champion:
        raise CallerError("nothing_to_roll_back", "no model was in force before")
    return Change(0, now.champion, "retired", EVERYBODY, *said, (), key)
