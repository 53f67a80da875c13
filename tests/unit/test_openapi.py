"""The document says of each status what stands in it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from gateway.http.app import build_document

PATHS = cast(dict[str, Any], build_document()["paths"])


@pytest.mark.parametrize(
    ("path", "method"),
    [("/v1/rulesets/{id}/backtest", "post"), ("/v1/backtests/{id}", "get")],
)
def test_a_backtest_that_still_runs_is_an_answer_and_no_fault(path: str, method: str) -> None:
    responses = PATHS[path][method]["responses"]
    assert responses["202"] == responses["200"]
    assert list(responses["202"]["content"]) == ["application/json"]


def test_every_fault_is_a_problem_and_nothing_else_is() -> None:
    for methods in PATHS.values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                kinds = list(response.get("content", {}))
                is_fault = int(status) >= 400
                assert (kinds == ["application/problem+json"]) is is_fault, (operation, status)
