"""Every pack that ships is whole: it reads, each rule has examples of both kinds, and a README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rules.rehearsal import rehearse
from rules.ruleset import load
from tests.house.source import ROOT

PACKS = sorted((ROOT / "rules/packs").iterdir())


@pytest.mark.parametrize("pack", PACKS, ids=lambda pack: pack.name)
def test_a_pack_does_what_it_says(pack: Path) -> None:
    ruleset = load((pack / "rules.yaml").read_text("utf-8"))
    assert rehearse(ruleset) == []
    readme = (pack / "README.md").read_text("utf-8")
    for rule in ruleset.rules:
        expected = {example.expect for example in rule.examples}
        assert expected >= {"match", "no match"}, rule.id
        assert rule.owner
        assert f"| `{rule.id}` | {rule.action} |" in readme


def test_the_rule_in_the_docs_does_what_it_says() -> None:
    readme = (ROOT / "rules/README.md").read_text("utf-8")
    (shown,) = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    ruleset = load(shown)
    assert rehearse(ruleset) == []
    assert sum(len(rule.examples) for rule in ruleset.rules) == 2


def test_there_are_packs_and_no_two_rules_of_them_share_an_id() -> None:
    found = [rule.id for pack in PACKS for rule in load((pack / "rules.yaml").read_text()).rules]
    assert len(found) == len(set(found)) > 5
