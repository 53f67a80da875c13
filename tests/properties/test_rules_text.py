"""Whatever is written as a rule: it is read in bounded time or refused, and touches facts alone."""

from __future__ import annotations

import dis
import re
import time
from contextlib import suppress
from types import CodeType

from hypothesis import given, settings
from hypothesis import strategies as st

from rules.check import check_condition
from rules.errors import Fault, RuleError
from rules.generate import SCOPE, Program
from rules.lexer import LONGEST
from rules.parser import MOST_PARTS, parse
from rules.ruleset import load, reads
from rules.schema import SCHEMA, Schema
from tests.properties.conditions import SCHEMA as CEL_SCHEMA
from tests.properties.conditions import Conditions

WORDS = (
    "amount", "product", "context.asn", "org.age", "captures", "true", "false", "has", "in", "by",
    "velocity.cost", "velocity.count", "velocity.distinct", '"key"', '"asn"', "@list", "5 USD",
    "velocity.events", '"login"',
    "10m", "1h", "1", "2.5", "startsWith", "endsWith", "contains", "null", "__import__", "f0", "U",
    "&&", "||", "!", "?", ":", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%",
    "(", ")", "[", "]", ",", ".", "\n", "//", '"', "'", "\\", "@", "=", ";", "{", "}", "é", "\x00",
)  # fmt: skip
SOUP = st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join)
BOTH = Schema({**SCHEMA.fields, **CEL_SCHEMA.fields})
AMOUNT = re.compile(r"m\d+")
METHODS = {"append", "startswith", "endswith"}
"""All that the code may ask of a value."""


@settings(max_examples=1_500, deadline=None)
@given(st.one_of(SOUP, st.text(max_size=200)))
def test_a_text_is_a_condition_or_is_refused_where_it_is_wrong(text: str) -> None:
    try:
        tree = check_condition(parse(text), SCHEMA)
    except Fault as fault:
        assert 0 <= fault.at <= len(text)
        assert fault.message
    else:
        assert sum(1 for _ in tree.walk()) <= MOST_PARTS + 1


@settings(max_examples=500, deadline=None)
@given(st.one_of(SOUP, st.text(max_size=300)))
def test_a_file_is_a_rule_set_or_is_refused_where_it_is_wrong(text: str) -> None:
    for file in (text, f"rules:\n  - {{id: a, action: block, reason: b, when: {text!r}}}"):
        try:
            load(file)
        except RuleError as error:
            assert error.line >= 1
            assert error.column >= 1


def taken_s(text: str) -> float:
    """The processor's time that reading, checking and compiling a text takes, whatever it is."""
    started = time.process_time()
    with suppress(Fault):
        Program([tree := check_condition(parse(text), SCHEMA)], dict(reads(tree)))
    return time.process_time() - started


def test_no_text_takes_longer_than_an_honest_one_of_its_length() -> None:
    hard = [
        "(" * LONGEST, "!" * LONGEST, "-" * LONGEST, "a." * (LONGEST // 2), '"' * LONGEST,
        "1" * LONGEST, "a&&" * (LONGEST // 3) + "a", "1+" * (LONGEST // 2) + "1", "'\\" * 5_000,
        "true?" * 2_000, "amount in [" + "1," * 4_000, "// " * 3_000, " " * LONGEST,
        "captures == " * 30 + "captures", "x" * (LONGEST + 1),
    ]  # fmt: skip
    honest = "captures&&" * 900 + "captures"
    usual_s = min(taken_s(honest) for _ in range(5))
    assert usual_s > 0
    slow = {text[:12] for text in hard if min(taken_s(text) for _ in range(3)) > 10 * usual_s}
    assert slow == set()


def test_code_grows_as_its_text_does() -> None:
    nested = "captures"
    for _ in range(8):
        nested = (
            f"(({nested}) == captures ? ({nested.count('?')} > tokens) : (captures != captures))"
        )
    assert nested.count("?") == 8
    tree = check_condition(parse(nested), SCHEMA)
    compiled = Program([tree], dict(reads(tree))).of("USD")
    for function in (compiled.hits, compiled.undecided):
        assert len(function.__code__.co_code) < 20 * len(nested)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), SOUP)
def test_generated_code_touches_nothing_but_its_facts(seed: int, text: str) -> None:
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    condition = f"({Conditions(seed).condition()}) && product != {quoted}"
    for candidate in (condition, f"product == {quoted}", text):
        try:
            tree = check_condition(parse(candidate), BOTH)
        except Fault:
            assert candidate is text
            continue
        compiled = Program([tree], dict(reads(tree))).of("USD")
        for function in (compiled.hits, compiled.undecided):
            _check_code(function.__code__)
            assert function.__globals__["__builtins__"] == {}


def _check_code(code: CodeType) -> None:
    names = {name for name in code.co_names if not AMOUNT.fullmatch(name)}
    assert names <= {*SCOPE, *METHODS}, code.co_names
    assert not any(isinstance(constant, CodeType) for constant in code.co_consts)
    operations = {instruction.opname for instruction in dis.get_instructions(code)}
    assert not operations & {"IMPORT_NAME", "STORE_GLOBAL", "STORE_ATTR", "LOAD_BUILD_CLASS"}
    assert not any(name.startswith("MAKE_") for name in operations)
