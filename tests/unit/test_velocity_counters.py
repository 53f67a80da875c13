"""Which counters and list keys a request has."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from gateway.core import plan
from gateway.core.commands import Mode
from gateway.core.request_record import RequestRecord
from gateway.core.terms import compile_terms
from gateway.flows.risk.velocity import _Entities
from gateway.wire.requests.risk import EventBody
from rules.schema import EVENTS, FIELDS
from rules.types import Type
from tests.unit.core.making import NOON, lineage, lineage_terms, profile

LISTABLE = [field.name for field in FIELDS if field.type is Type.string or field.is_name]
CONTEXT: dict[str, str | int] = {
    "ip": "203.0.113.7", "network": "203.0.113.0/24", "country": "PT", "asn": 64500,
    "device": "d", "email_domain": "example.com", "user_agent": "curl",
}  # fmt: skip


def request() -> RequestRecord:
    """A request of which everything is known."""
    who = lineage("search", "u_1", "k_1", "run-1")
    terms = compile_terms(profile(country="PT"), lineage_terms(who), "gpt", NOON)
    asked = plan.Request(who, "gpt", {"input_tokens": 5}, None, Mode.HOLD, 1_000, CONTEXT)
    made = plan.make(terms, asked, "dec_1", "hold_1", 13)
    made.caller = "cred_1"
    return made


@pytest.mark.parametrize("field", LISTABLE)
def test_every_field_that_may_be_on_a_list_is_looked_up_there(field: str) -> None:
    asked = request()
    entities = _Entities("acme", asked.terms, asked.context)
    assert entities.digest(field, asked, b"key")


def test_there_are_fields_that_may_be_on_a_list() -> None:
    assert {"org.country", "user.id", "context.asn"} <= set(LISTABLE)


def test_rules_know_every_event_that_callers_report_and_those_of_labels() -> None:
    reported = get_args(get_type_hints(EventBody)["type"])
    assert set(EVENTS) == {*reported, "labelled_fraud", "labelled_good"}
