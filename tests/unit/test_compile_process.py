"""Code that another process compiled is what this one would have compiled."""

from __future__ import annotations

import pytest

from gateway.errors import Bug
from gateway.flows.risk.compile_process import SHORT, compile_elsewhere
from rules.engine import Phased
from rules.ruleset import load

RULES = "rules:\n" + "\n".join(
    f"  - {{id: r{n}, action: block, when: amount > {n} USD, reason: 'dear, “{n}”'}}"
    for n in range(200)
)


def test_rules_compiled_elsewhere_say_the_same() -> None:
    here, there = Phased(load(RULES)), Phased(load(RULES), compile_elsewhere)
    for micros in (0, 1, 5_000_001, 10**9):
        facts = {"amount": micros}
        found = there.before.evaluate(facts, "USD", 0)
        assert found == here.before.evaluate(facts, "USD", 0)


def test_what_cannot_be_compiled_is_a_bug_that_says_why() -> None:
    with pytest.raises(Bug, match="SyntaxError"):
        compile_elsewhere("(" * (SHORT + 1))
