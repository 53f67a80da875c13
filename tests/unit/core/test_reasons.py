"""Reasons: one enum, the weightiest first, as the contract lists them."""

from __future__ import annotations

import pytest

from gateway.core.reasons import Reason, Refusal

CONTRACT = (
    ("org_suspended", 403),
    ("project_suspended", 403),
    ("user_suspended", 403),
    ("key_unknown", 403),
    ("key_disabled", 403),
    ("key_expired", 403),
    ("product_unpriced", 403),
    ("product_not_allowed", 403),
    ("list_blocked", 403),
    ("rule_blocked", 403),
    ("risk_too_high", 403),
    ("challenge_required", 403),
    ("rate_limited", 429),
    ("concurrency_limited", 429),
    ("cap_exceeded", 402),
    ("insufficient_funds", 402),
    ("ledger_backlog", 503),
    ("store_unavailable", 503),
)
"""Callers rely on the order, the names and the hints."""


def test_the_enum_is_the_contract_in_its_order() -> None:
    assert tuple((r.name, r.status_hint) for r in sorted(Reason)) == CONTRACT


def test_a_lower_number_weighs_more_and_no_number_is_left_out() -> None:
    assert [int(r) for r in Reason] == list(range(1, len(CONTRACT) + 1))


def test_every_hint_is_one_that_a_frontend_may_answer() -> None:
    assert {r.status_hint for r in Reason} == {402, 403, 429, 503}


@pytest.mark.parametrize("reason", Reason, ids=lambda r: r.name)
def test_what_passes_later_by_itself_is_retryable(reason: Reason) -> None:
    passes = {
        "rate_limited", "concurrency_limited", "cap_exceeded", "ledger_backlog",
        "store_unavailable",
    }  # fmt: skip
    assert reason.is_retryable == (reason.name in passes)


def test_a_refusal_knows_its_reason() -> None:
    assert Refusal(15, "search-daily", "…").reason is Reason.cap_exceeded
