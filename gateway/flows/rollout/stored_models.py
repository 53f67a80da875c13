"""Read models from the catalog and compile them."""

from __future__ import annotations

from gateway.catalog.models import StoredModel
from gateway.core.facts import SIGNALS
from gateway.errors import Bug, CallerError, Unavailable
from gateway.flows.rollout.services import RolloutServices
from models.errors import ModelError
from models.serving import Served

CHANGE = "change the models of all"


async def find(services: RolloutServices, model: str) -> StoredModel:
    """A model by its id. Raises 404."""
    found = await services.models.find(model)
    if found is None:
        raise CallerError("not_found", f"there is no model {model}")
    return found


def reads_of(served: Served) -> tuple[str, ...]:
    """Counters and lists that a model reads."""
    asked_for = (name for name in served.reads if name.startswith("velocity.") or " in @" in name)
    return tuple(name for name in asked_for if name not in SIGNALS)


async def served_or_refused(services: RolloutServices, model: str) -> Served:
    """A model as it serves. Raises CallerError where it can be read no longer, or Unavailable."""
    try:
        return await services.rules.served(model)
    except ModelError as error:
        # It was taken by a version that counted other things.
        raise CallerError("invalid_model", str(error), status=409) from None
    except (KeyError, Bug, OSError) as error:
        raise Unavailable("not_compiled", f"the model could not be read: {error}") from error
