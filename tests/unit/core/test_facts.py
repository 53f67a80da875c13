"""What rules read of a request, under the names of their one list."""

from __future__ import annotations

from gateway.core import plan
from gateway.core.commands import Mode
from gateway.core.facts import facts_of
from gateway.core.request_record import RequestRecord
from gateway.core.terms import compile_terms
from rules.schema import SCHEMA
from rules.types import Type
from tests.unit.core.making import CREATED, NOON, lineage, lineage_terms, profile

PLAIN = {Type.bool: bool, Type.string: str, Type.int: int, Type.money: int, Type.duration: int}
CONTEXT = {
    "ip": "a1", "network": "203.0.113.0/24", "country": "DE", "asn": 64500, "device": "d1",
    "email_domain": "example.com", "user_agent": "u1",
}  # fmt: skip


def asked(*, full: bool, settles: bool = False, is_free: bool = False) -> RequestRecord:
    who = lineage("search", "u_1", "k_1", "run-1") if full else lineage()
    of = profile(version=0 if is_free else 1, country="DE" if full else "")
    terms = compile_terms(of, lineage_terms(who), "gpt", NOON)
    quantity = {"input_tokens": 3, "output_tokens": 4} if full else None
    mode = Mode.CAPTURE if settles else Mode.HOLD
    request = plan.Request(
        who, "gpt", quantity, None if full else 5, mode, 1_000, CONTEXT if full else {},
        "cred_1", settles=settles,
    )  # fmt: skip
    return plan.make(terms, request, "dec_1", "hold_1", plan.quote(terms, request))


def test_every_field_of_the_list_is_told_and_no_other() -> None:
    facts = facts_of(asked(full=True), NOON)
    assert facts.keys() == SCHEMA.fields.keys()
    for name, value in facts.items():
        assert type(value) is PLAIN[SCHEMA.fields[name].type], name


def test_what_is_not_known_is_not_told() -> None:
    facts = facts_of(asked(full=False, is_free=True), NOON)
    missing = SCHEMA.fields.keys() - facts.keys()
    assert all(SCHEMA.fields[name].may_miss for name in missing), missing
    assert {"org.age", "org.type", "tokens", "user.id", "context.ip"} <= missing
    assert facts["org.is_free"] is True


def test_facts_say_how_old_and_what_time_it_is() -> None:
    facts = facts_of(asked(full=True), NOON)
    assert facts["org.age"] == NOON - CREATED
    assert facts["hour"] == 12
    assert facts_of(asked(full=True), NOON + 3_600_000)["hour"] == 13
    assert facts["tokens"] == 7


def test_what_settles_at_once_is_said_to() -> None:
    assert facts_of(asked(full=True, settles=True), NOON)["captures"] is True
    assert facts_of(asked(full=True), NOON)["captures"] is False
