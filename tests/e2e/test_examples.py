"""The examples of the document work as they are written, one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.http.routes import ROUTES
from gateway.wire.examples import BODIES, PATCHES
from tests.gateways import Caller, running
from tests.scenarios.steps import eventually

ORG = "/v1/orgs/acme"
PUTS = (
    ("/v1/rate_cards/default/versions/v1", "CardVersionBody"),
    ("/v1/plans/payg", "PlanBody"),
    (ORG, "OrgBody"),
    (f"{ORG}/projects/search", "MemberBody"),
    (f"{ORG}/users/u_17", "MemberBody"),
    (f"{ORG}/keys/k_9", "KeyBody"),
    (f"{ORG}/caps/daily", "CapBody"),
    (f"{ORG}/rate_limits/rpm", "RateLimitBody"),
    (f"{ORG}/contract", "ContractBody"),
    ("/v1/lists/scrapers/items/203.0.113.0%2F24", "ItemBody"),
)
POSTS = (
    (f"{ORG}/grants", "GrantBody"),
    (f"{ORG}/adjustments", "AdjustmentBody"),
    ("/v1/authorize/batch", "BatchBody"),
    ("/v1/credentials", "CredentialBody"),
    ("/v1/rulesets", "RuleSetBody"),
    ("/v1/events", "EventBody"),
    ("/v1/lists/scrapers/items", "ItemsBody"),
)
ELSEWHERE = {
    "AuthorizeBody", "ExtendBody", "CaptureBody", "EmptyBody", "LabelBody", "LabelsBody",
    "ReviewBody", "ActivateBody", "SpanBody", "RotateBody",
    "ModelBody", "ActivateModelBody",  # a model is too large to be an example
}  # fmt: skip
"""Examples that are about an object with an id of the gateway's own."""


def test_every_example_has_its_place() -> None:
    named = {name for _, name in (*PUTS, *POSTS)} | ELSEWHERE
    assert named == set(BODIES) - {"Patch"}
    assert set(PATCHES) == {r.patches.__name__ for r in ROUTES if r.patches is not None}


async def test_examples_work_as_they_are_written(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        async with Caller(gateway.address) as caller:
            for path, name in PUTS:
                await caller.ok("PUT", path, BODIES[name])
            made = {name: await caller.ok("POST", path, BODIES[name]) for path, name in POSTS}
            hold = (await caller.ok("POST", "/v1/authorize", BODIES["AuthorizeBody"]))["hold"]["id"]
            await caller.ok("POST", f"/v1/holds/{hold}/extend", BODIES["ExtendBody"])
            await caller.ok("POST", f"/v1/holds/{hold}/capture", BODIES["CaptureBody"])
            for path, name in PUTS:
                if name in PATCHES:
                    await caller.ok("PATCH", path, PATCHES[name])
            rotate = f"/v1/credentials/{made['CredentialBody']['id']}/rotate"
            await caller.ok("POST", rotate, BODIES["RotateBody"])
            activate = f"/v1/rulesets/{made['RuleSetBody']['id']}/activate"
            await caller.ok("POST", activate, BODIES["ActivateBody"])
            decision = made["BatchBody"]["results"][0]["id"]

            async def is_labelled() -> bool:
                body: dict[str, Any] = {**BODIES["LabelBody"], "decision": decision}
                await caller.ok("POST", "/v1/labels", body)
                return True

            await eventually(is_labelled, wanted=True)
            await caller.reconciled()


@pytest.mark.parametrize("name", sorted(PATCHES))
def test_a_patch_names_members_of_its_body(name: str) -> None:
    (kind,) = {r.patches for r in ROUTES if r.patches is not None and r.patches.__name__ == name}
    assert set(PATCHES[name]) <= set(kind.__struct_fields__)
