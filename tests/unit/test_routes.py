"""The route table: what can be set can be read, and what is one of many can be listed."""

from __future__ import annotations

from typing import get_origin

import pytest
from msgspec.structs import fields

from gateway.http.endpoint import Route
from gateway.http.routes import ROUTES
from gateway.wire.answers.base import Answer

PATHS = {(route.method, route.path) for route in ROUTES}
PUTS = sorted(path for method, path in PATHS if method == "PUT")
WITHOUT_A_LIST = {
    "/v1/orgs/{org}/contract": "there is one",
    "/v1/lists/{name}/items/{value}": "the gateway has only hashes of items",
}
"""Why what is set there is on no list."""


@pytest.mark.parametrize("path", PUTS)
def test_what_can_be_set_can_be_read(path: str) -> None:
    assert ("GET", path) in PATHS


@pytest.mark.parametrize("path", [path for path in PUTS if path not in WITHOUT_A_LIST])
def test_what_is_one_of_many_can_be_listed(path: str) -> None:
    assert ("GET", path.rpartition("/")[0]) in PATHS


NEVER_CHANGED = {
    "/v1/rate_cards/{id}/versions/{version}": "a version that was agreed holds",
    "/v1/lists/{name}/items/{value}": "two members: a PUT keeps what it does not name",
}


@pytest.mark.parametrize("path", [path for path in PUTS if path not in NEVER_CHANGED])
def test_what_can_be_set_can_be_patched(path: str) -> None:
    assert ("PATCH", path) in PATHS


def test_what_is_on_no_list_exists() -> None:
    assert set(WITHOUT_A_LIST) <= set(PUTS)


LISTS = [route for route in ROUTES if route.summary.startswith("List ")]


@pytest.mark.parametrize("route", LISTS, ids=lambda route: route.path)
def test_a_list_answers_data_and_the_next_cursor(route: Route[None, Answer]) -> None:
    assert route.order
    kind = get_origin(route.answer) or route.answer
    assert kind is not None
    assert {"data", "next_cursor"} <= {field.name for field in fields(kind)}


def test_a_summary_begins_with_a_verb_and_is_unique() -> None:
    summaries = [route.summary for route in ROUTES]
    assert len(set(summaries)) == len(summaries)
    verbs = {summary.split()[0] for summary in summaries}
    assert verbs <= {
        "Activate,", "Adjust", "Authorize", "Cancel", "Capture", "Change", "Compare", "Create",
        "Delete", "Extend", "Get", "Grant", "Label", "List", "Put", "Reconcile", "Record",
        "Release", "Replay", "Report", "Resolve", "Revoke", "Roll", "Rotate", "Start", "Submit",
        "Void",
    }  # fmt: skip
