"""Each code of a fault has one row, and each row is used."""

from __future__ import annotations

import ast

from gateway.errors import PROBLEMS
from tests.house.source import python_files, tree

FAULTS = ("CallerError", "Unavailable")
OF_ERRORS = {"bug", "overloaded"}
"""Given by the classes of faults themselves."""
UNSEEN = {"refused"}
"""Never reaches a caller: it tells an operator why a stand-in approval was not charged."""
BUILT = {"ledger_stopped", "ledger_backlog", "amount_out_of_range", "invalid_request"}
"""Chosen between where they are raised."""


def raised() -> set[str]:
    """Codes that are raised as they are."""
    return {
        node.args[0].value
        for path in python_files("gateway")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in FAULTS
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def test_every_code_that_is_raised_has_a_row() -> None:
    assert raised() - set(PROBLEMS) == UNSEEN


def test_every_row_is_used() -> None:
    assert set(PROBLEMS) - raised() - OF_ERRORS - BUILT == set()


def test_a_title_is_a_clause_and_says_nothing_twice() -> None:
    titles = [code.title for code in PROBLEMS.values()]
    assert len(set(titles)) == len(titles)
    assert all(title == title.strip() and not title.endswith(".") for title in titles)
