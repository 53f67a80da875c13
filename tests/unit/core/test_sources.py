"""Kinds of balances: one table, and one parser of their names."""

from __future__ import annotations

import pytest

from gateway.core.entities import Included
from gateway.core.funding import grant_name, included_name
from gateway.core.postings import ACCOUNT_KINDS, HOT_KINDS
from gateway.core.sources import (
    SHORTFALL,
    SOURCE_KINDS,
    account_of,
    has_version,
    is_quota,
    name_of,
    source_label,
)

QUOTA = included_name(Included("a/b", 1, "day"), 7)


@pytest.mark.parametrize(
    ("name", "account", "label"),
    [
        (grant_name("grant_1"), ("grant", "grant_1"), "grant_1"),
        (QUOTA, ("included", "a%2Fb/7"), "included:a/b"),
        ("adjustments", ("adjustments", ""), "adjustments"),
        ("credit_line", ("credit_line", ""), "credit_line"),
        ("held", ("held", ""), "held"),
        (SHORTFALL, ("shortfall", ""), "shortfall"),
    ],
)
def test_a_name_leads_to_its_account_and_back(
    name: str, account: tuple[str, str], label: str
) -> None:
    assert account_of(name) == account
    assert name_of(*account) == name
    assert source_label(name) == label


def test_only_grants_make_plans_stale_and_only_quota_comes_back() -> None:
    assert (has_version(grant_name("g")), is_quota(grant_name("g"))) == (True, False)
    assert (has_version(QUOTA), is_quota(QUOTA)) == (False, True)
    assert not any(has_version(name) or is_quota(name) for name in ("held", "adjustments"))


def test_every_kind_has_an_account_of_the_ledger_that_the_store_holds() -> None:
    accounts = {row.account for row in SOURCE_KINDS.values()}
    assert accounts <= ACCOUNT_KINDS.keys() & set(HOT_KINDS)
