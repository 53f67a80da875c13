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
    ("overloaded", 503),
    ("store_unavailable", 503),
)
"""Callers rely on the order, the names and the hints."""


def test_the_enum_is_the_contract_in_its_order() -> None:
    ranked = sorted(Reason, key=lambda reason: reason.rank)
    assert tuple((r.name, r.status_hint) for r in ranked) == CONTRACT


def test_a_number_at_rest_is_what_it_was() -> None:
    """Records say numbers: one that came later has a later number, whatever it weighs."""
    named = [name for name, _ in CONTRACT if name != "overloaded"]
    assert [reason.name for reason in sorted(Reason)] == [*named, "overloaded"]
    assert [int(r) for r in Reason] == list(range(1, len(CONTRACT) + 1))


def test_every_hint_is_one_that_a_frontend_may_answer() -> None:
    assert {r.status_hint for r in Reason} == {402, 403, 429, 503}


@pytest.mark.parametrize("reason", Reason, ids=lambda r: r.name)
def test_what_passes_later_by_itself_is_retryable(reason: Reason) -> None:
    passes = {
        "rate_limited", "concurrency_limited", "cap_exceeded", "ledger_backlog",
        "overloaded", "store_unavailable",
    }  # fmt: skip
    assert reason.is_retryable == (reason.name in passes)


def test_a_refusal_knows_its_reason() -> None:
    assert Refusal(15, "search-daily", "…").reason is Reason.cap_exceeded
